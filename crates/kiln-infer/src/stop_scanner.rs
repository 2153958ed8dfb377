//! Stop texts: finding them in a text that arrives piece by piece, whatever the borders of the pieces.

/// Scanner for stop texts.
///
/// A piece that may be the beginning of a stop text is returned once it cannot be one any more, so that no part of a stop
/// text is returned.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopScanner {
    stop_texts: Vec<String>,
    /// Text that is the beginning of a stop text.
    pending: String,
    is_stopped: bool,
}

impl StopScanner {
    /// Scanner for non-empty texts.
    pub fn new(stop_texts: &[String]) -> Self {
        let stop_texts = stop_texts.iter().filter(|text| !text.is_empty()).cloned().collect();
        Self { stop_texts, ..Self::default() }
    }

    /// Whether a stop text was found. All further text is ignored.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Adds a piece and returns the text before a stop text, as far as it is certain.
    ///
    /// The stop text that is complete first counts; of several that are complete at once, the longest.
    pub fn push(&mut self, piece: &str) -> String {
        if self.is_stopped {
            return String::new();
        }
        self.pending.push_str(piece);
        let matches = self.stop_texts.iter().filter_map(|stop| {
            let start = self.pending.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        if let Some((_, start)) = matches.min() {
            self.is_stopped = true;
            self.pending.truncate(start);
            return std::mem::take(&mut self.pending);
        }
        let rest = self.pending.split_off(self.certain_length());
        std::mem::replace(&mut self.pending, rest)
    }

    /// The text that was not returned because it could have become a stop text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.pending)
    }

    /// Length of the pending text before the earliest possible beginning of a stop text.
    fn certain_length(&self) -> usize {
        let could_be_stop = |rest: &str| self.stop_texts.iter().any(|stop| stop.starts_with(rest));
        let starts = self.pending.char_indices().map(|(start, _)| start);
        starts.into_iter().find(|start| could_be_stop(&self.pending[*start..])).unwrap_or(self.pending.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text before the stop text that is complete first, by its definition.
    fn before_stop(text: &str, stop_texts: &[String]) -> (String, bool) {
        for (end, _) in text.char_indices().skip(1).chain([(text.len(), ' ')]) {
            let longest = stop_texts.iter().filter(|stop| text[..end].ends_with(stop.as_str())).map(String::len).max();
            if let Some(length) = longest {
                return (text[..end - length].into(), true);
            }
        }
        (text.into(), false)
    }

    #[test]
    fn the_beginning_of_a_stop_text_is_withheld() {
        let mut scanner = StopScanner::new(&["END".into(), "\n\n".into()]);
        assert_eq!(
            ["a E", "N", "N", "\n", "b", "\nE"].map(|piece| scanner.push(piece)),
            ["a ", "", "ENN", "", "\nb", "\n"]
        );
        assert_eq!((scanner.push("NDx"), scanner.is_stopped()), (String::new(), true));
        assert_eq!((scanner.push("more"), scanner.finish()), (String::new(), String::new()));
        let mut scanner = StopScanner::new(&["END".into()]);
        assert_eq!((scanner.push("an EN"), scanner.finish()), ("an ".into(), "EN".into()));
    }

    proptest! {
        #[test]
        fn borders_of_pieces_do_not_matter(
            text in "[abé]{0,16}", stop_texts in proptest::collection::vec("[abé]{1,4}", 0..4), size in 1usize..5,
        ) {
            let (want, is_stopped) = before_stop(&text, &stop_texts);
            let mut scanner = StopScanner::new(&stop_texts);
            let characters: Vec<char> = text.chars().collect();
            let mut have = String::new();
            for piece in characters.chunks(size) {
                have += &scanner.push(&piece.iter().collect::<String>());
                prop_assert!(want.starts_with(&have));
            }
            prop_assert_eq!(scanner.is_stopped(), is_stopped);
            prop_assert_eq!(have + &scanner.finish(), want);
        }
    }
}
