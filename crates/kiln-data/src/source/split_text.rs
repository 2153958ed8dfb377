//! Cutting long text where it hurts least: at the end of a line, else after white space, else between characters.

/// The longest part of a document that is held at once, in bytes.
pub const MAX_PART_BYTES: usize = 1 << 20;

/// Where to cut `text`, a beginning of something longer: behind its last line end, else its last white space,
/// else at its end.
pub(crate) fn find_split_point(text: &str) -> usize {
    let behind = |(at, found): (usize, char)| at + found.len_utf8();
    let mut backwards = text.char_indices().rev();
    let line = text.rfind('\n').map(|at| at + 1);
    line.or_else(|| backwards.find(|(_, c)| c.is_whitespace()).map(behind)).unwrap_or(text.len())
}

/// `text` in parts of at most `limit` bytes (at least 4, so that every character fits).
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
    fn a_line_end_is_preferred_then_white_space_then_any_character() {
        assert_eq!(split_text("one two\nthree four", 12).collect::<Vec<_>>(), ["one two\n", "three four"]);
        assert_eq!(split_text("one two three", 9).collect::<Vec<_>>(), ["one two ", "three"]);
        assert_eq!(split_text("ééééé", 5).collect::<Vec<_>>(), ["éé", "éé", "é"]);
    }

    proptest! {
        #[test]
        fn parts_are_short_and_make_up_the_text(text in "\\PC{0,40}[ \n]{0,3}\\PC{0,40}", limit in 4usize..30) {
            prop_assert!(split_text(&text, limit).all(|part| part.len() <= limit && !part.is_empty()));
            prop_assert_eq!(split_text(&text, limit).collect::<String>(), text);
        }
    }
}
