//! From text to a `tokenizer.json`.

use super::{
    SpecialTokens, TokenizerConfig,
    bpe::{Merges, train_bpe},
    byte_encoding::{to_byte_fallback, to_byte_level},
    pre_tokenizer::split_words,
};
use crate::DataError;
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

/// The most text that a tokenizer is trained on, in bytes; of more, the beginning is taken.
pub const MAX_TRAINING_BYTES: u64 = 16 << 20;

/// Longer words (a line without spaces) are learned from in pieces of this many bytes.
pub(super) const MAX_WORD_BYTES: usize = 256;

/// The text of a `tokenizer.json`, the same for the same texts.
pub(crate) fn train<S: AsRef<str>>(
    config: &TokenizerConfig,
    texts: impl Iterator<Item = Result<S, DataError>>,
) -> Result<String, DataError> {
    config.check()?;
    match config {
        TokenizerConfig::Byte(_) => build_byte_level(&train_bpe(&BTreeMap::new(), 0, &HashSet::new()), false),
        TokenizerConfig::Character(size) => train_characters(texts, size.vocab),
        TokenizerConfig::File(file) => Ok(file.open()?.to_json().to_owned()),
        TokenizerConfig::Bpe(size) => {
            let forbidden = SpecialTokens::names().into_iter().map(String::into_bytes).collect();
            build_byte_level(&train_bpe(&count_words(texts)?, size.vocab - SpecialTokens::count(), &forbidden), true)
        }
    }
}

/// Calls `see` with texts until there was enough of them.
pub(super) fn for_each_training_text<S: AsRef<str>>(
    texts: impl Iterator<Item = Result<S, DataError>>,
    mut see: impl FnMut(&str),
) -> Result<(), DataError> {
    let mut seen = 0;
    for text in texts {
        let text = text?;
        see(text.as_ref());
        seen += text.as_ref().len() as u64;
        if seen >= MAX_TRAINING_BYTES {
            break;
        }
    }
    Ok(())
}

fn count_words<S: AsRef<str>>(
    texts: impl Iterator<Item = Result<S, DataError>>,
) -> Result<BTreeMap<Vec<u8>, u64>, DataError> {
    let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
    for_each_training_text(texts, |text| {
        for piece in split_words(text).flat_map(|word| word.as_bytes().chunks(MAX_WORD_BYTES)) {
            match counts.get_mut(piece) {
                Some(count) => *count += 1,
                None => drop(counts.insert(piece.to_vec(), 1)),
            }
        }
    })?;
    Ok(counts.into_iter().collect())
}

fn build_byte_level(merges: &Merges, split_words: bool) -> Result<String, DataError> {
    let tokens: Vec<String> = merges.token_bytes.iter().map(|piece| to_byte_level(piece)).collect();
    let name = |id: u32| tokens[id as usize].clone();
    let pairs = merges.pairs.iter().map(|(left, right)| (name(*left), name(*right))).collect();
    let mut tokenizer = build_bpe(tokens, pairs, false)?;
    let bytes = ByteLevel::new(false, false, split_words);
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    tokenizer.to_string(true).map_err(tokenizer_error)
}

fn train_characters<S: AsRef<str>>(
    texts: impl Iterator<Item = Result<S, DataError>>,
    vocab: usize,
) -> Result<String, DataError> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    for_each_training_text(texts, |text| text.chars().for_each(|c| *counts.entry(c).or_default() += 1))?;
    let mut kept: Vec<(char, u64)> = counts.into_iter().collect();
    kept.sort_unstable_by_key(|(c, count)| (Reverse(*count), *c));
    kept.truncate(vocab - SpecialTokens::count() - 256);
    kept.sort_unstable();
    let tokens = (0..=255).map(to_byte_fallback).chain(kept.iter().map(|(c, _)| c.to_string()));
    let mut tokenizer = build_bpe(tokens.collect(), Vec::new(), true)?;
    let decoder = Sequence::new(vec![DecoderWrapper::from(ByteFallback::new()), Fuse::new().into()]);
    tokenizer.with_decoder(Some(decoder));
    tokenizer.to_string(true).map_err(tokenizer_error)
}

fn build_bpe(
    tokens: Vec<String>,
    merges: Vec<(String, String)>,
    byte_fallback: bool,
) -> Result<tokenizers::Tokenizer, DataError> {
    let vocab: Vocab = SpecialTokens::names().into_iter().chain(tokens).zip(0..).collect();
    let model =
        BPE::builder().vocab_and_merges(vocab, merges).byte_fallback(byte_fallback).build().map_err(tokenizer_error)?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let specials = SpecialTokens::names().into_iter().map(|name| AddedToken::from(name, true));
    tokenizer.add_special_tokens(specials).map_err(tokenizer_error)?;
    Ok(tokenizer)
}

pub(crate) fn tokenizer_error(error: impl std::fmt::Display) -> DataError {
    DataError::Tokenizer { reason: error.to_string() }
}
