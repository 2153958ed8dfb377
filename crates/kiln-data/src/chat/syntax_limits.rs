//! Limits on the nesting of a template.
//!
//! MiniJinja's parser is recursive: a deeply nested expression overflows the stack, which aborts the process. The
//! functions here scan the tags of a template without recursion, and reject it before it is parsed. They need not
//! understand expressions: counting brackets and operators bounds the depth of the syntax tree.

use crate::DataError;
use std::ops::Range;

/// Maximum nesting of blocks, and of brackets in a tag.
const MAX_NESTING: usize = 64;
/// Maximum number of operators in a tag; each may add a level to the syntax tree.
const MAX_OPERATORS: usize = 400;

/// Checks all tags of a template.
///
/// # Errors
/// [`DataError::ChatTemplate`] if blocks or expressions are nested too deeply.
pub(super) fn check_nesting(template: &str) -> Result<(), DataError> {
    let mut open_blocks: Vec<usize> = Vec::new();
    for range in tag_ranges(template) {
        let tag = &template[range];
        check_expression(tag[2..].trim_end_matches(['%', '}']))?;
        if tag.starts_with("{%") {
            check_block(tag_body(tag), &mut open_blocks)?;
        }
    }
    Ok(())
}

/// Byte ranges of the tags `{{ … }}` and `{% … %}` in order, without comments and the contents of `{% raw %}`.
pub(super) fn tag_ranges(template: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut position = 0;
    let mut in_raw = false;
    while let Some(start) = find_tag_start(&template[position..]).map(|start| position + start) {
        let rest = &template[start..];
        let body = rest[2..].trim_start_matches(['-', '+']).trim_start();
        if in_raw && !(rest.starts_with("{%") && body.starts_with("endraw")) {
            position = start + 1;
            continue;
        }
        if rest.starts_with("{#") {
            position = rest.find("#}").map_or(template.len(), |end| start + end + 2);
            continue;
        }
        position = start + find_tag_end(rest);
        if rest.starts_with("{%") {
            in_raw = tag_body(&template[start..position]) == "raw";
        }
        ranges.push(start..position);
    }
    ranges
}

/// Contents of a tag without its delimiters and white space.
fn tag_body(tag: &str) -> &str {
    tag[2..].trim_end_matches(['%', '}']).trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+')
}

/// Offset of the next `{{`, `{%` or `{#`.
fn find_tag_start(text: &str) -> Option<usize> {
    text.match_indices('{').map(|(at, _)| at).find(|at| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')))
}

/// Length of the tag at the beginning of a text. Its end is not within a string or brackets; a tag without an end takes
/// the whole text.
fn find_tag_end(tag: &str) -> usize {
    let close = if tag.starts_with("{%") { "%}" } else { "}}" };
    let mut depth = 0i64;
    let mut strings = StringScanner::default();
    for (at, c) in tag.char_indices().skip(2) {
        if strings.contains(c) {
            continue;
        }
        match c {
            _ if depth == 0 && tag[at..].starts_with(close) => return at + 2,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    tag.len()
}

/// Scanner of string literals, character by character.
#[derive(Default)]
struct StringScanner {
    /// The quote that ends the current string.
    quote: Option<char>,
    /// Whether the last character was a backslash.
    escaped: bool,
}

impl StringScanner {
    /// Whether the next character belongs to a string; its quotes do.
    fn contains(&mut self, c: char) -> bool {
        match self.quote {
            Some(_) if self.escaped => self.escaped = false,
            Some(_) if c == '\\' => self.escaped = true,
            Some(quote) if c == quote => self.quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"') => self.quote = Some(c),
            None => return false,
        }
        true
    }
}

/// Updates the open blocks by a tag `{% … %}` and checks their nesting. An item is the number of alternatives of the
/// block: each `elif` is nested in the one before it.
fn check_block(tag: &str, open_blocks: &mut Vec<usize>) -> Result<(), DataError> {
    let keyword: String = tag.chars().take_while(|c| c.is_alphabetic()).collect();
    match keyword.as_str() {
        "set" if tag.contains('=') => {}
        "if" | "for" | "macro" | "call" | "filter" | "set" | "block" | "with" | "autoescape" => open_blocks.push(1),
        "elif" => open_blocks.iter_mut().rev().take(1).for_each(|alternatives| *alternatives += 1),
        keyword if keyword.starts_with("end") => drop(open_blocks.pop()),
        _ => {}
    }
    ensure_within_limit(open_blocks.iter().sum::<usize>() <= MAX_NESTING, "blocks")
}

/// Checks the brackets and the operators of a tag.
fn check_expression(tag: &str) -> Result<(), DataError> {
    let mut depth = 0usize;
    let mut max_depth = 0;
    let mut num_operators = 0;
    let mut strings = StringScanner::default();
    for c in tag.chars() {
        if strings.contains(c) {
            continue;
        }
        match c {
            '(' | '[' | '{' => (depth, num_operators) = (depth + 1, num_operators + 1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '+' | '-' | '~' | '*' | '/' | '%' | '|' | '.' | '=' | '<' | '>' => num_operators += 1,
            _ => {}
        }
        max_depth = max_depth.max(depth);
    }
    let words = tag.split_whitespace().filter(|word| ["not", "and", "or", "in", "is", "if", "else"].contains(word));
    ensure_within_limit(max_depth <= MAX_NESTING && num_operators + words.count() <= MAX_OPERATORS, "expressions")
}

fn ensure_within_limit(within: bool, what: &str) -> Result<(), DataError> {
    if within {
        return Ok(());
    }
    let reason =
        format!("{what} are nested too deep: expected {MAX_NESTING} levels and {MAX_OPERATORS} operators at most");
    Err(DataError::ChatTemplate { reason })
}
