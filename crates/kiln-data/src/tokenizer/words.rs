//! Cutting text into words that no merge crosses, as GPT-2 does.

use std::sync::LazyLock;
use tokenizers::utils::SysRegex;

/// The words that byte-level `tokenizer.json` files mean by `use_regex`.
static WORD: LazyLock<Option<SysRegex>> = LazyLock::new(|| {
    SysRegex::new(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+").ok()
});

/// The words of `text`, all of it.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut found = WORD.iter().flat_map(move |regex| regex.find_iter(text));
    let mut at = 0;
    std::iter::from_fn(move || {
        // The matcher stops early where it would take too long; what is left is one word then.
        let end = found.next().map_or(text.len(), |(_, end)| end);
        let word = &text[at..end];
        at = end;
        (!word.is_empty()).then_some(word)
    })
}
