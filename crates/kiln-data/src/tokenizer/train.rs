//! Training of Kiln's own tokenizers (`byte`, `character`, `bpe`): texts to a `tokenizer.json`.
//!
//! Token ids: the special tokens ([`SpecialTokens`]), then the 256 bytes, then the trained tokens: characters in the
//! order of their code points, or BPE tokens in the order of their merges.

use super::{
    SpecialTokens, TokenizerConfig,
    bpe::{Merges, train_bpe, train_bpe_async},
    byte_encoding::{to_byte_fallback, to_byte_level},
    pre_tokenizer::split_words,
};
use crate::{
    DataError,
    pause::{Pause, complete, no_pause},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};
use tokenizers::{
    AddedToken, DecoderWrapper,
    decoders::{byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence},
    models::bpe::{BPE, Vocab},
    pre_tokenizers::byte_level::ByteLevel,
};

/// Maximum amount of text that a tokenizer is trained on, in bytes: 16 MiB. Training reads no more texts after it.
pub const MAX_TRAINING_BYTES: u64 = 16 << 20;

/// Bytes of text between two pauses: some milliseconds.
const PAUSE_BYTES: u64 = 64 << 10;

/// Longer words (lines without spaces) are split into parts of this many bytes, which bounds the cost of a merge.
pub(super) const MAX_WORD_BYTES: usize = 256;

/// Text of the trained `tokenizer.json`. The same texts give the same file.
pub(crate) async fn train<S: AsRef<str>>(
    config: &TokenizerConfig,
    texts: impl Iterator<Item = Result<S, DataError>>,
    pause: &mut impl Pause,
) -> Result<String, DataError> {
    config.check()?;
    match config {
        TokenizerConfig::Byte(_) => build_byte_level(&train_bpe(&BTreeMap::new(), 0, &HashSet::new()), false),
        TokenizerConfig::Character(size) => train_characters(texts, size.vocab, pause).await,
        TokenizerConfig::File(file) => Ok(file.open()?.to_json().to_owned()),
        TokenizerConfig::Bpe(size) => {
            let forbidden = SpecialTokens::names().into_iter().map(String::into_bytes).collect();
            let (words, num_tokens) = (count_words(texts, pause).await?, size.vocab - SpecialTokens::count());
            build_byte_level(&train_bpe_async(&words, num_tokens, &forbidden, pause).await?, true)
        }
    }
}

/// Calls `visit` with each text, up to the one that reaches [`MAX_TRAINING_BYTES`].
pub(super) fn for_each_training_text<S: AsRef<str>>(
    texts: impl Iterator<Item = Result<S, DataError>>,
    visit: impl FnMut(&str),
) -> Result<(), DataError> {
    complete(for_each_training_text_async(texts, visit, &mut no_pause))
}

/// [`for_each_training_text`] with pauses.
async fn for_each_training_text_async<S: AsRef<str>>(
    texts: impl Iterator<Item = Result<S, DataError>>,
    mut visit: impl FnMut(&str),
    pause: &mut impl Pause,
) -> Result<(), DataError> {
    let (mut num_bytes, mut paused_bytes) = (0, 0);
    for text in texts {
        let text = text?;
        visit(text.as_ref());
        num_bytes += text.as_ref().len() as u64;
        if num_bytes - paused_bytes >= PAUSE_BYTES {
            paused_bytes = num_bytes;
            pause().await?;
        }
        if num_bytes >= MAX_TRAINING_BYTES {
            break;
        }
    }
    Ok(())
}

/// Counts of the words of GPT-2's pre-tokenizer. Sorted, so that training does not depend on the order of a hash table.
async fn count_words<S: AsRef<str>>(
    texts: impl Iterator<Item = Result<S, DataError>>,
    pause: &mut impl Pause,
) -> Result<BTreeMap<Vec<u8>, u64>, DataError> {
    let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
    let count = |text: &str| {
        for part in split_words(text).flat_map(|word| word.as_bytes().chunks(MAX_WORD_BYTES)) {
            match counts.get_mut(part) {
                Some(count) => *count += 1,
                None => drop(counts.insert(part.to_vec(), 1)),
            }
        }
    };
    for_each_training_text_async(texts, count, pause).await?;
    Ok(counts.into_iter().collect())
}

/// A `tokenizer.json` with a byte-level vocabulary; without `split_words` each byte is a token and words do not matter.
fn build_byte_level(merges: &Merges, split_words: bool) -> Result<String, DataError> {
    let tokens: Vec<String> = merges.token_bytes.iter().map(|bytes| to_byte_level(bytes)).collect();
    let pairs = &merges.pairs;
    let pairs = pairs.iter().map(|(left, right)| (tokens[*left as usize].clone(), tokens[*right as usize].clone()));
    let mut tokenizer = build_bpe(tokens.clone(), pairs.collect(), false)?;
    let byte_level = ByteLevel::new(false, false, split_words);
    tokenizer.with_pre_tokenizer(Some(byte_level)).with_decoder(Some(byte_level));
    tokenizer.to_string(true).map_err(DataError::tokenizer)
}

/// A `tokenizer.json` of the most frequent characters with byte fallback. Ties go to the smaller code point.
async fn train_characters<S: AsRef<str>>(
    texts: impl Iterator<Item = Result<S, DataError>>,
    vocab: usize,
    pause: &mut impl Pause,
) -> Result<String, DataError> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    let count = |text: &str| text.chars().for_each(|c| *counts.entry(c).or_default() += 1);
    for_each_training_text_async(texts, count, pause).await?;
    let mut characters: Vec<(char, u64)> = counts.into_iter().collect();
    characters.sort_unstable_by_key(|(c, count)| (Reverse(*count), *c));
    characters.truncate(vocab - SpecialTokens::count() - 256);
    characters.sort_unstable();
    let tokens = (0..=255).map(to_byte_fallback).chain(characters.iter().map(|(c, _)| c.to_string()));
    let mut tokenizer = build_bpe(tokens.collect(), Vec::new(), true)?;
    let decoder = Sequence::new(vec![DecoderWrapper::from(ByteFallback::new()), Fuse::new().into()]);
    tokenizer.with_decoder(Some(decoder));
    tokenizer.to_string(true).map_err(DataError::tokenizer)
}

/// A BPE pipeline with the special tokens in front of `tokens`.
fn build_bpe(
    tokens: Vec<String>,
    merges: Vec<(String, String)>,
    byte_fallback: bool,
) -> Result<tokenizers::Tokenizer, DataError> {
    let vocab: Vocab = SpecialTokens::names().into_iter().chain(tokens).zip(0..).collect();
    let builder = BPE::builder().vocab_and_merges(vocab, merges).byte_fallback(byte_fallback);
    let mut tokenizer = tokenizers::Tokenizer::new(builder.build().map_err(DataError::tokenizer)?);
    let special_tokens = SpecialTokens::names().into_iter().map(|name| AddedToken::from(name, true));
    tokenizer.add_special_tokens(special_tokens).map_err(DataError::tokenizer)?;
    Ok(tokenizer)
}
