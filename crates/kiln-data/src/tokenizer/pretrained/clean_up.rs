//! `clean_up_tokenization_spaces`: removal of the spaces that WordPiece and Unigram decoders put before punctuation.
//!
//! In a `tokenizer.json` it is a sequence of `Replace` steps behind the decoder, which every program can run.

use serde_json::{Value, json};

/// What is replaced by what, in this order.
const REPLACEMENTS: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// Puts the steps behind the decoder of a `tokenizer.json`. A file without a decoder stays unchanged.
pub(super) fn add_to_decoder(file: &mut Value) {
    if file["decoder"].is_null() {
        return;
    }
    let mut parts = vec![file["decoder"].take(), json!({ "type": "Fuse" })];
    parts.extend(steps());
    file["decoder"] = json!({ "type": "Sequence", "decoders": parts });
}

fn steps() -> impl Iterator<Item = Value> {
    REPLACEMENTS.iter().map(|(from, to)| json!({ "type": "Replace", "pattern": { "String": from }, "content": to }))
}

/// Takes the steps off the end of a decoder. Returns whether it had them.
pub(crate) fn take_from_decoder(decoder: &mut Value) -> bool {
    let steps: Vec<Value> = steps().collect();
    let parts = decoder.get_mut("decoders").and_then(Value::as_array_mut);
    let Some(parts) = parts.filter(|parts| parts.ends_with(&steps)) else { return false };
    parts.truncate(parts.len() - steps.len());
    true
}

/// Whether a decoder ends with these steps.
pub(super) fn is_at_end_of(decoder: &Value) -> bool {
    take_from_decoder(&mut decoder.clone())
}

/// The text after all steps.
pub(crate) fn clean(text: &str) -> String {
    REPLACEMENTS.iter().fold(text.to_string(), |text, (from, to)| text.replace(from, to))
}

/// Length in bytes of the beginning of an uncleaned text whose cleaned form no further text changes.
///
/// The steps only remove spaces. Further text decides about a space if what follows the space, spaces left out, begins a
/// replaced text.
pub(crate) fn settled_len(text: &str) -> usize {
    const UNDECIDED: [&str; 6] = ["", "'", "n", "n'", "'v", "'r"];
    let mut settled = text.len();
    let mut behind = String::new();
    for (at, c) in text.char_indices().rev() {
        if c != ' ' {
            behind.insert(0, c);
        } else if UNDECIDED.contains(&behind.as_str()) {
            settled = at;
        }
        if behind.len() > 2 {
            break;
        }
    }
    // A space before an apostrophe is removed if a space behind it still stands there.
    while text[..settled].ends_with(" '") {
        settled -= 2;
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn settled_text_does_not_change(text in "[a ns'tver.?]{0,12}", more in "[a ns'tver.?]{0,6}") {
            let settled = clean(&text[..settled_len(&text)]);
            let whole = clean(&(text.clone() + &more));
            prop_assert!(whole.starts_with(&settled), "{:?} {:?}: {:?}", text, more, whole);
        }
    }

    #[test]
    fn steps_are_taken_off_as_they_were_added() {
        let original = json!({ "type": "WordPiece", "prefix": "##", "cleanup": true });
        let mut file = json!({ "decoder": original });
        add_to_decoder(&mut file);
        assert!(take_from_decoder(&mut file["decoder"]) && !is_at_end_of(&file["decoder"]));
        assert_eq!(file["decoder"]["decoders"][0], original);
        assert!(!take_from_decoder(&mut file["absent"]) && file["absent"].is_null());
        assert_eq!(clean("is n't it ? he 's , ' quoted ' ."), "isn't it? he's,'quoted '.");
    }
}
