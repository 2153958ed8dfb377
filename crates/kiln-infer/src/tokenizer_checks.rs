//! Tokenizer checks: each function counts texts or conversations for which a property of tokenizers does not hold.
//!
//! | function | property |
//! |---|---|
//! | [`roundtrip_mismatch`] | decoding gives a text with the same tokens |
//! | [`reload_mismatch`] | a saved and reloaded tokenizer encodes equally |
//! | [`streaming_mismatch`] | streamed decoding equals decoding at once |
//! | [`bad_offsets`] | offsets are ordered and cover the text |
//! | [`split_special_tokens`] | special tokens of a chat template are single tokens |
//! | [`lost_in_template`] | a rendered conversation contains all its texts |
//! | [`is_prefix_stable`] | a conversation begins with the tokens of its earlier turns |
//!
//! They hold for every tokenizer and are used by `kiln verify`. A tokenizer that normalizes text (lower case, accents,
//! control characters) is compared on the normalized text: equal tokens are sufficient.

use kiln_data::{
    DataError, Encoding, StreamDecoder, Tokenizer,
    chat::{ChatTemplate, ChatTemplateOptions, chat_message},
    tokenizer::EncodeOptions,
};
use std::ops::Range;

/// Encoding and decoding of text. Implemented by [`Tokenizer`]; tests implement it for tokenizers with deliberate faults.
pub trait TokenText {
    /// Returns the tokenizer.
    fn tokenizer(&self) -> &Tokenizer;

    /// Returns the token ids of a text, without special tokens around it.
    fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer().encode(text)
    }

    /// Returns the token ids of a text with their byte ranges.
    fn encode_with_offsets(&self, text: &str) -> Encoding {
        self.tokenizer().encode_with_offsets(text)
    }

    /// Returns the text of token ids.
    ///
    /// # Errors
    /// Those of [`Tokenizer::decode`].
    fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.tokenizer().decode(ids)
    }

    /// Returns the text of token ids, decoded token by token.
    ///
    /// # Errors
    /// Those of [`Tokenizer::decode`].
    fn decode_streaming(&self, ids: &[u32]) -> Result<String, DataError> {
        let mut decoder = StreamDecoder::new(self.tokenizer());
        let text = ids.iter().map(|id| decoder.push(*id)).collect::<Result<String, _>>()?;
        Ok(text + &decoder.finish())
    }

    /// Returns the `tokenizer.json` of the tokenizer.
    fn to_json(&self) -> String {
        self.tokenizer().to_json().into()
    }
}

impl TokenText for Tokenizer {
    fn tokenizer(&self) -> &Tokenizer {
        self
    }
}

/// Number of texts for which `holds` is false.
fn count_failures(texts: &[&str], holds: impl Fn(&str) -> bool) -> usize {
    texts.iter().filter(|text| !holds(text)).count()
}

/// Returns the number of texts that decode to neither the same text nor a text with the same tokens.
///
/// Texts that cannot be preserved are not counted: those with special tokens, which decode to nothing, or unknown tokens,
/// and white space alone, which some tokenizers add and strip.
pub fn roundtrip_mismatch(tokenizer: &impl TokenText, texts: &[&str]) -> usize {
    let unknown = tokenizer.tokenizer().token_roles().unk;
    count_failures(texts, |text| {
        let ids = tokenizer.encode(text);
        let is_lossy = text.trim().is_empty()
            || ids.iter().any(|id| Some(*id) == unknown || tokenizer.tokenizer().is_special(*id));
        is_lossy || tokenizer.decode(&ids).is_ok_and(|decoded| decoded == *text || tokenizer.encode(&decoded) == ids)
    })
}

/// Returns the number of texts that have other tokens after the tokenizer was saved and reloaded.
pub fn reload_mismatch(tokenizer: &impl TokenText, texts: &[&str]) -> usize {
    let Ok(reloaded) = Tokenizer::from_json(&tokenizer.to_json()) else { return texts.len() };
    count_failures(texts, |text| {
        reloaded.encode(text) == tokenizer.encode(text)
            && template_ids(&reloaded, text) == template_ids(tokenizer.tokenizer(), text)
    })
}

/// Encoding of a text with the special tokens of the tokenizer's template; `None` if it fails.
fn template_ids(tokenizer: &Tokenizer, text: &str) -> Option<Encoding> {
    tokenizer.encode_for_model(text, None, &EncodeOptions::default()).ok()
}

/// Returns the number of texts whose tokens decode to another text token by token than at once.
pub fn streaming_mismatch(tokenizer: &impl TokenText, texts: &[&str]) -> usize {
    count_failures(texts, |text| {
        let ids = tokenizer.encode(text);
        let results = (tokenizer.decode_streaming(&ids), tokenizer.decode(&ids));
        matches!(results, (Ok(streamed), Ok(decoded)) if streamed == decoded)
    })
}

/// Returns the number of texts with wrong token offsets.
///
/// Offsets are wrong if a range is outside of the text, starts before that of the previous token, or if the ranges omit
/// characters that matter: the text without them has other tokens. White space may be omitted.
pub fn bad_offsets(tokenizer: &impl TokenText, texts: &[&str]) -> usize {
    count_failures(texts, |text| {
        let Encoding { ids, offsets, .. } = tokenizer.encode_with_offsets(text);
        let are_inside = offsets.iter().all(|range| range.start <= range.end && range.end <= text.len());
        // A token that is trimmed to nothing has an empty range at an arbitrary position.
        let non_empty: Vec<_> = offsets.iter().filter(|range| !range.is_empty()).collect();
        let are_ordered = non_empty.windows(2).all(|pair| pair[0].start <= pair[1].start);
        are_inside && are_ordered && ids == tokenizer.encode(text) && {
            let covered = covered_text(text, &offsets);
            covered == *text || tokenizer.encode(&covered) == ids
        }
    })
}

/// Text without the characters that are in no range, except for white space.
fn covered_text(text: &str, ranges: &[Range<usize>]) -> String {
    let mut is_covered = vec![false; text.len()];
    ranges.iter().for_each(|range| is_covered[range.clone()].fill(true));
    text.char_indices()
        .filter(|(start, c)| {
            c.is_whitespace() || is_combining_mark(*c) || is_covered[*start..*start + c.len_utf8()].contains(&true)
        })
        .map(|(_, c)| c)
        .collect()
}

/// Whether a character is a combining mark. Normalization may compose it with the preceding letter, whose range then
/// stands for both.
fn is_combining_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

/// Turns of a conversation: role and text of each message.
pub type ChatTurns<'a> = [(&'a str, &'a str)];

/// Text of a conversation by its template.
fn render(chat: &ChatTemplate, turns: &ChatTurns, options: &ChatTemplateOptions) -> Result<String, DataError> {
    let messages: Vec<_> = turns.iter().map(|(role, text)| chat_message(role, text)).collect();
    chat.render(&messages, options)
}

/// Returns the special tokens of a rendered conversation that are not single tokens, so that the model reads them as text.
///
/// Special tokens are those in the configuration of the template and all of the form `<|…|>`. Sorted, without duplicates.
///
/// # Errors
/// If the template cannot render the conversation.
pub fn split_special_tokens(
    tokenizer: &impl TokenText,
    chat: &ChatTemplate,
    turns: &ChatTurns,
    options: &ChatTemplateOptions,
) -> Result<Vec<String>, DataError> {
    let text = render(chat, turns, options)?;
    let configured = chat.special_tokens().values().filter_map(|token| token.as_str());
    let mut special_tokens: Vec<String> = configured.filter(|token| text.contains(token)).map(str::to_string).collect();
    for (open, close) in [("<|", "|>"), ("<｜", "｜>")] {
        let inner = text.split(open).skip(1).filter_map(|rest| Some(&rest[..rest.find(close)?]));
        special_tokens.extend(inner.map(|inner| format!("{open}{inner}{close}")));
    }
    special_tokens.sort_unstable();
    special_tokens.dedup();
    special_tokens.retain(|token| tokenizer.encode(token).len() != 1);
    Ok(special_tokens)
}

/// Returns the number of messages whose text is missing in the decoded tokens of the rendered conversation.
///
/// White space is ignored, because tokenizers treat it differently within a text and at its start.
///
/// # Errors
/// If the template cannot render the conversation.
pub fn lost_in_template(
    tokenizer: &impl TokenText,
    chat: &ChatTemplate,
    turns: &ChatTurns,
    options: &ChatTemplateOptions,
) -> Result<usize, DataError> {
    let conversation = decoded_without_space(tokenizer, &render(chat, turns, options)?);
    Ok(turns.iter().filter(|(_, text)| !conversation.contains(&decoded_without_space(tokenizer, text))).count())
}

/// Text after encoding and decoding, without white space.
fn decoded_without_space(tokenizer: &impl TokenText, text: &str) -> String {
    let decoded = tokenizer.decode(&tokenizer.encode(text)).unwrap_or_default();
    decoded.split_whitespace().collect()
}

/// Returns whether the tokens of a conversation begin with the tokens of each generation prompt before: the messages up to
/// an answer, rendered with `add_generation_prompt`.
///
/// Only then can a model reuse its state between turns ([`crate::PrefixCache`]).
///
/// # Errors
/// If the template cannot render the conversation.
pub fn is_prefix_stable(
    tokenizer: &impl TokenText,
    chat: &ChatTemplate,
    turns: &ChatTurns,
    options: &ChatTemplateOptions,
) -> Result<bool, DataError> {
    let prompt_options = ChatTemplateOptions { add_generation_prompt: true, ..options.clone() };
    let mut prompts = Vec::new();
    for turn in (0..turns.len()).filter(|turn| turns[*turn].0 == "assistant") {
        prompts.push(tokenizer.encode(&render(chat, &turns[..turn], &prompt_options)?));
    }
    let conversation = tokenizer.encode(&render(chat, turns, options)?);
    Ok(prompts.iter().all(|ids| conversation.starts_with(ids)))
}
