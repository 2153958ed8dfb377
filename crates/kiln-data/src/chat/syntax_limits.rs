//! What is too deep for a template: reading it would need more of the stack than there is.

use crate::DataError;
use std::ops::Range;

/// The deepest nesting of blocks, and of brackets.
const MAX_NESTING: usize = 64;
/// The most operators in one tag.
const MAX_OPERATORS: usize = 400;

/// Refuses what is nested too deep.
pub(super) fn check_nesting(template: &str) -> Result<(), DataError> {
    let mut open: Vec<usize> = Vec::new();
    for tag in tag_ranges(template).into_iter().map(|tag| &template[tag]) {
        check_expression(tag[2..].trim_end_matches(['%', '}']))?;
        if tag.starts_with("{%") {
            check_block(tag_body(tag), &mut open)?;
        }
    }
    Ok(())
}

/// Where a template's tags stand; neither comments nor what `raw` lets pass.
pub(super) fn tag_ranges(template: &str) -> Vec<Range<usize>> {
    let (mut at, mut raw, mut found) = (0, false, Vec::new());
    while let Some(begin) = find_tag_start(&template[at..]).map(|begin| at + begin) {
        let rest = &template[begin..];
        let word = rest[2..].trim_start_matches(['-', '+']).trim_start();
        if raw && !(rest.starts_with("{%") && word.starts_with("endraw")) {
            at = begin + 1;
            continue;
        }
        if rest.starts_with("{#") {
            at = rest.find("#}").map_or(template.len(), |end| begin + end + 2);
            continue;
        }
        at = begin + find_tag_end(rest);
        if rest.starts_with("{%") {
            raw = tag_body(&template[begin..at]) == "raw";
        }
        found.push(begin..at);
    }
    found
}

/// What stands in a tag.
fn tag_body(tag: &str) -> &str {
    tag[2..].trim_end_matches(['%', '}']).trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+')
}

/// Where the next tag or comment begins.
fn find_tag_start(text: &str) -> Option<usize> {
    let follows = |at: &usize| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#'));
    text.match_indices('{').map(|(at, _)| at).find(follows)
}

/// Where a tag ends: not within a text, nor within brackets.
fn find_tag_end(tag: &str) -> usize {
    let close = if tag.starts_with("{%") { "%}" } else { "}}" };
    let (mut depth, mut quote, mut escaped) = (0i64, None, false);
    for (at, c) in tag.char_indices().skip(2) {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, _) if depth == 0 && tag[at..].starts_with(close) => return at + 2,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            _ => {}
        }
    }
    tag.len()
}

fn check_block(tag: &str, open: &mut Vec<usize>) -> Result<(), DataError> {
    let word: String = tag.chars().take_while(|c| c.is_alphabetic()).collect();
    match word.as_str() {
        "set" if tag.contains('=') => {}
        "if" | "for" | "macro" | "call" | "filter" | "set" | "block" | "with" | "autoescape" => open.push(1),
        "elif" => open.iter_mut().rev().take(1).for_each(|alternatives| *alternatives += 1),
        word if word.starts_with("end") => drop(open.pop()),
        _ => {}
    }
    // An `elif` stands within the one before it.
    ensure_within_limit(open.iter().sum::<usize>() <= MAX_NESTING, "blocks")
}

fn check_expression(tag: &str) -> Result<(), DataError> {
    let (mut depth, mut deepest, mut operators, mut quote, mut escaped) = (0usize, 0, 0, None, false);
    for c in tag.chars() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => (depth, operators) = (depth + 1, operators + 1),
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '+' | '-' | '~' | '*' | '/' | '%' | '|' | '.' | '=' | '<' | '>') => operators += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let words = tag.split_whitespace().filter(|word| ["not", "and", "or", "in", "is", "if", "else"].contains(word));
    ensure_within_limit(deepest <= MAX_NESTING && operators + words.count() <= MAX_OPERATORS, "expressions")
}

fn ensure_within_limit(within: bool, what: &str) -> Result<(), DataError> {
    let error = || DataError::ChatTemplate { reason: format!("{what} that are nested too deep, or too long") };
    within.then_some(()).ok_or_else(error)
}
