//! GPT-2's pre-tokenizer: splits text into words that no BPE merge crosses (Radford et al. 2019, §2.2).

use std::sync::LazyLock;
use tokenizers::utils::SysRegex;

/// GPT-2's pattern, which `tokenizer.json` files mean by `use_regex` of `ByteLevel`: English contractions; letters,
/// digits or other characters with an optional space before them; white space, whose last space belongs to the next
/// word.
pub(super) const GPT2_REGEX: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

static WORD_REGEX: LazyLock<Option<SysRegex>> = LazyLock::new(|| SysRegex::new(GPT2_REGEX).ok());

/// The words of a text, in order; joined they give the text. If the matcher gives up (its limit on backtracking), the
/// rest of the text is one word.
pub(crate) fn split_words(text: &str) -> impl Iterator<Item = &str> {
    let mut matches = WORD_REGEX.iter().flat_map(move |regex| regex.find_iter(text));
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = matches.next().map_or(text.len(), |(_, end)| end);
        let word = &text[start..end];
        start = end;
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

    fn reference_words(text: &str) -> Vec<String> {
        let mut pre_tokenized = PreTokenizedString::from(text);
        ByteLevel::new(false, false, true).pre_tokenize(&mut pre_tokenized).unwrap();
        let splits = pre_tokenized.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, (start, end), _)| text[start..end].to_string()).collect()
    }

    proptest! {
        #[test]
        fn words_equal_those_of_the_tokenizers_library(
            parts in prop::collection::vec(prop_oneof!["'[a-z]{1,3}", "[a-z0-9]{1,4}", "[ \n\t]{1,4}", "\\PC{1,3}"], 1..12),
        ) {
            let text = parts.concat();
            let words: Vec<&str> = split_words(&text).collect();
            prop_assert_eq!(words.concat(), text.as_str());
            prop_assert_eq!(words, reference_words(&text));
        }
    }
}
