//! Splitting of long text at line ends, else at white space, else between characters.

/// Maximum length of a document part in bytes. Longer documents are delivered in several parts.
pub const MAX_PART_BYTES: usize = 1 << 20;

/// Byte index at which to split `text`, a prefix of a longer text: after its last line end, else after its last white
/// space, else at its end. 0 only for an empty text.
pub(crate) fn find_split_point(text: &str) -> usize {
    if let Some(line_end) = text.rfind('\n') {
        return line_end + 1;
    }
    let last_space = text.char_indices().rev().find(|(_, c)| c.is_whitespace());
    last_space.map_or(text.len(), |(index, space)| index + space.len_utf8())
}

/// Splits `text` into parts of at most `limit` bytes. `limit` must be at least 4, the size of the longest character.
///
/// The parts concatenate to the text and none is empty.
pub(crate) fn split_text(text: &str, limit: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end =
            if rest.len() <= limit { rest.len() } else { find_split_point(&rest[..rest.floor_char_boundary(limit)]) };
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_split_at_lines_then_at_white_space_then_at_characters() {
        assert_eq!(split_text("one two\nthree four", 12).collect::<Vec<_>>(), ["one two\n", "three four"]);
        assert_eq!(split_text("one two three", 9).collect::<Vec<_>>(), ["one two ", "three"]);
        assert_eq!(split_text("ééééé", 5).collect::<Vec<_>>(), ["éé", "éé", "é"]);
    }

    proptest! {
        #[test]
        fn parts_are_within_the_limit_and_concatenate_to_the_text(text in "\\PC{0,40}[ \n]{0,3}\\PC{0,40}", limit in 4usize..30) {
            prop_assert!(split_text(&text, limit).all(|part| part.len() <= limit && !part.is_empty()));
            prop_assert_eq!(split_text(&text, limit).collect::<String>(), text);
        }
    }
}
