//! NaN and infinities in JSON. They are no JSON numbers, but Python's `json.dumps` writes them.

/// The words, the longest first.
const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The JSON with `replacement` of the word in place of `NaN`, `Infinity` and `-Infinity`. `None` if there is no such word outside
/// of strings.
///
/// ```
/// use kiln_data::non_finite::replace_non_finite;
///
/// let replaced = replace_non_finite(r#"{ "limit": Infinity }"#, |_| "1e9".into());
/// assert_eq!(replaced.as_deref(), Some(r#"{ "limit": 1e9 }"#));
/// ```
pub fn replace_non_finite(json: &str, replacement: impl Fn(&str) -> String) -> Option<String> {
    let bytes = json.as_bytes();
    let mut replaced: Vec<u8> = Vec::new();
    let mut position = 0;
    let mut is_in_string = false;
    let mut is_replaced = false;
    while position < bytes.len() {
        let word = if is_in_string { None } else { word_at(bytes, position) };
        if let Some(word) = word {
            replaced.extend(replacement(word).bytes());
            position += word.len();
            is_replaced = true;
            continue;
        }
        let escaped = is_in_string && bytes[position] == b'\\';
        is_in_string ^= bytes[position] == b'"';
        let end = bytes.len().min(position + if escaped { 2 } else { 1 });
        replaced.extend(&bytes[position..end]);
        position = end;
    }
    if is_replaced { String::from_utf8(replaced).ok() } else { None }
}

/// Zero, padded to the length of a word, so that positions in error messages stay correct.
pub fn padded_zero(word: &str) -> String {
    format!("{:<1$}", 0, word.len())
}

/// The word at `position`, unless it continues another word or a number, as in `1NaN`.
fn word_at(bytes: &[u8], position: usize) -> Option<&'static str> {
    let previous = position.checked_sub(1).map_or(b' ', |before| bytes[before]);
    if previous.is_ascii_alphanumeric() || b"+-._".contains(&previous) {
        return None;
    }
    WORDS.into_iter().find(|word| bytes[position..].starts_with(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_outside_of_strings_are_replaced() {
        let replaced = |json| replace_non_finite(json, padded_zero);
        assert_eq!(replaced(r#"{"a":NaN,"b":-Infinity}"#).unwrap(), r#"{"a":0  ,"b":0        }"#);
        assert_eq!(replaced(r#"[Infinity]"#).unwrap(), "[0       ]");
        assert_eq!(replaced(r#"{"NaN \" NaN": "Infinity"}"#), None);
        assert_eq!(replaced("1NaN --Infinity"), None);
        assert_eq!(replaced("\"\\"), None);
    }
}
