//! White space and lines of text as Python defines them.

/// Whether Python's `str.isspace` accepts the character: the white space of Unicode and the separators U+001C to U+001F.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

pub(super) fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// Lines as Python's `str.splitlines`, with or without their ends.
pub(super) fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if !is_line_end(c) {
            continue;
        }
        let mut end = at + c.len_utf8();
        if c == '\r' && characters.next_if(|(_, next)| *next == '\n').is_some() {
            end += 1;
        }
        lines.push(&text[start..if keep_ends { end } else { at }]);
        start = end;
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters from `start` to `end`, counted in characters and within the text.
pub(super) fn char_range(text: &str, start: usize, end: usize) -> &str {
    if text.is_ascii() {
        let start = start.min(text.len());
        return &text[start..end.min(text.len()).max(start)];
    }
    let offset = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    &text[offset(start)..offset(end.max(start))]
}
