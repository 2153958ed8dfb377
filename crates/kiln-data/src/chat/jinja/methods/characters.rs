//! Methods that look at or change the case and the kind of characters.

use crate::chat::jinja::{
    error::{Error, Result},
    text::is_space,
};

/// Python's `str.islower`: no character is in upper or title case, and some are in lower case.
pub(in super::super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_title_case(c))
}

/// Python's `str.isupper`.
pub(in super::super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_title_case(c))
}

/// Python's `str.istitle`: upper case begins each word, and only there.
pub(super) fn is_title(text: &str) -> bool {
    let (mut follows_cased, mut has_cased) = (false, false);
    for c in text.chars() {
        if c.is_uppercase() || is_title_case(c) {
            if follows_cased {
                return false;
            }
            (follows_cased, has_cased) = (true, true);
        } else if c.is_lowercase() {
            if !follows_cased {
                return false;
            }
        } else {
            follows_cased = false;
        }
    }
    has_cased
}

/// Digraphs such as `ǅ`, and Greek letters with a iota below: neither upper nor lower case.
fn is_title_case(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}')
        || matches!(c, '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

/// A character in title case. Fails for characters whose title case Rust does not know.
fn title_char(c: char) -> Result<String> {
    let upper: String = c.to_uppercase().collect();
    let is_digraph = ('Ǆ'..='ǌ').contains(&c) || ('Ǳ'..='ǳ').contains(&c) || ('\u{1f80}'..='\u{1fff}').contains(&c);
    if is_digraph {
        return Err(Error::unsupported(format_args!("the title case of {c:?}")));
    }
    // `ß` is `SS` in upper case and `Ss` in title case. The mark before the `N` of `ŉ` has no case.
    let mut out = String::new();
    for c in upper.chars() {
        if out.contains(char::is_uppercase) { out.extend(c.to_lowercase()) } else { out.push(c) }
    }
    Ok(out)
}

/// Python's `str.capitalize`.
pub(in super::super) fn capitalize(text: &str) -> Result<String> {
    let Some(first) = text.chars().next() else { return Ok(String::new()) };
    // Lowering the whole text treats a sigma at the end of a word as Python does.
    let lower = text.to_lowercase();
    let rest_at = first.to_lowercase().map(char::len_utf8).sum::<usize>();
    Ok(title_char(first)? + &lower[rest_at.min(lower.len())..])
}

/// Python's `str.title`.
pub(super) fn title(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut follows_cased = false;
    for c in text.chars() {
        if follows_cased {
            if c == 'Σ' {
                return Err(Error::unsupported("the title case of a word with `Σ`"));
            }
            out.extend(c.to_lowercase());
        } else {
            out += &title_char(c)?;
        }
        follows_cased = c.is_uppercase() || c.is_lowercase() || is_title_case(c);
    }
    Ok(out)
}

/// Python's `str.swapcase`.
pub(super) fn swap_case(text: &str) -> Result<String> {
    if text.contains('Σ') {
        return Err(Error::unsupported("`swapcase` of `Σ`"));
    }
    let swapped = text.chars().map(|c| -> String {
        if c.is_uppercase() {
            c.to_lowercase().collect()
        } else if c.is_lowercase() {
            c.to_uppercase().collect()
        } else {
            c.into()
        }
    });
    Ok(swapped.collect())
}

/// Python's `str.casefold`, for the characters whose folded form is their lower case.
pub(super) fn case_fold(text: &str) -> Result<String> {
    match text.chars().find(|c| !c.is_ascii() && c.is_alphabetic()) {
        None => Ok(text.to_ascii_lowercase()),
        Some(c) => Err(Error::unsupported(format_args!("`casefold` of {c:?}"))),
    }
}

/// Python's `str.isalpha`, `isdigit` and their kin: every character of a text that is not empty is of the kind.
pub(super) fn all_of_kind(text: &str, method: &str) -> Result<bool> {
    let is_kind = |c: char| -> Result<bool> {
        let is_number = c.is_numeric() && !c.is_alphabetic();
        // The kinds of Unicode's other numbers, of marks and of Chinese numerals are not in Rust's tables.
        let is_doubtful = !c.is_ascii() && (is_number || (c.is_alphabetic() && !is_letter(c)));
        if is_doubtful && method != "isspace" {
            return Err(Error::unsupported(format_args!("`{method}` of {c:?}")));
        }
        Ok(match method {
            "isspace" => is_space(c),
            "isalpha" => c.is_alphabetic(),
            "isalnum" => c.is_alphanumeric(),
            "isnumeric" if !c.is_ascii() && c.is_alphabetic() && is_ideograph(c) => {
                return Err(Error::unsupported(format_args!("`{method}` of {c:?}")));
            }
            _ => c.is_ascii_digit(),
        })
    };
    for c in text.chars() {
        if !is_kind(c)? {
            return Ok(false);
        }
    }
    Ok(!text.is_empty())
}

fn is_ideograph(c: char) -> bool {
    ('\u{2e80}'..='\u{fdff}').contains(&c) || c >= '\u{20000}'
}

/// Whether an alphabetic character is surely a letter: in the scripts without alphabetic marks.
fn is_letter(c: char) -> bool {
    let european = c < '\u{345}' || ('\u{370}'..'\u{483}').contains(&c) || ('\u{48a}'..='\u{588}').contains(&c);
    european
        || ('\u{3041}'..='\u{9fff}').contains(&c)
        || ('\u{ac00}'..='\u{d7a3}').contains(&c)
        || ('\u{1e00}'..='\u{1fff}').contains(&c)
}

/// Python's `str.isidentifier`.
pub(super) fn is_identifier(text: &str) -> Result<bool> {
    if !text.is_ascii() {
        return Err(Error::unsupported("`isidentifier` of a text that is not ASCII"));
    }
    let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric();
    Ok(text.chars().all(is_part) && !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()))
}
