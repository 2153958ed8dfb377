//! Cutting text into words that no merge crosses, as GPT-2 does.

use std::sync::LazyLock;
use tokenizers::utils::SysRegex;

/// The words that byte-level `tokenizer.json` files mean by `use_regex`.
static WORD_REGEX: LazyLock<Option<SysRegex>> =
    LazyLock::new(|| SysRegex::new(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+").ok());

/// The words of `text`, all of it.
pub(crate) fn split_words(text: &str) -> impl Iterator<Item = &str> {
    let mut found = WORD_REGEX.iter().flat_map(move |regex| regex.find_iter(text));
    let mut at = 0;
    std::iter::from_fn(move || {
        // The matcher stops early where it would take too long; what is left is one word then.
        let end = found.next().map_or(text.len(), |(_, end)| end);
        let word = &text[at..end];
        at = end;
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::{
        OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, pre_tokenizers::byte_level::ByteLevel,
    };

    fn theirs(text: &str) -> Vec<String> {
        let mut cut = PreTokenizedString::from(text);
        ByteLevel::new(false, false, true).pre_tokenize(&mut cut).unwrap();
        let places = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        places.into_iter().map(|(_, (start, end), _)| text[start..end].to_string()).collect()
    }

    proptest! {
        #[test]
        fn words_are_those_of_the_tokenizers_library(
            parts in prop::collection::vec(prop_oneof!["'[a-z]{1,3}", "[a-z0-9]{1,4}", "[ \n\t]{1,4}", "\\PC{1,3}"], 1..12),
        ) {
            let text = parts.concat();
            let ours: Vec<&str> = split_words(&text).collect();
            prop_assert_eq!(ours.concat(), text.as_str());
            prop_assert_eq!(ours, theirs(&text));
        }
    }
}
