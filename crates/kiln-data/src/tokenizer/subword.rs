//! Training of WordPiece and Unigram tokenizers, the kinds of BERT and of T5.
//!
//! The result is an ordinary `tokenizer.json`, not one of Kiln's own ([`Tokenizer::is_kiln_trained`] is `false`): it
//! recognizes the names of its special tokens in text, and WordPiece normalizes text.

use super::{
    GgufTokenizer, TokenRoles, Tokenizer,
    bpe::train_bpe,
    byte_encoding::to_byte_fallback,
    config::MAX_VOCAB,
    convert::{self, METASPACE, token_type},
    train::{MAX_WORD_BYTES, for_each_training_text},
};
use crate::DataError;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    models::unigram::{Unigram, UnigramTrainer},
    normalizers::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer,
};

/// Subword model that [`train_subword`] trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubwordModel {
    /// WordPiece (1609.08144, §4.1) with BERT's text cleaning and special tokens (1810.04805), cased. Encoding takes
    /// the longest token that matches, from the left; a word that cannot be encoded is `[UNK]`. The vocabulary is
    /// trained by pair merging, as the `tokenizers` library trains it.
    WordPiece,
    /// Unigram language model (1804.10959) in SentencePiece's form (1808.06226). Encoding takes the most probable
    /// segmentation, the sum of the log-probabilities of its pieces, by the Viterbi algorithm. Characters without a
    /// piece are encoded as bytes.
    Unigram,
}

impl SubwordModel {
    /// Smallest vocabulary: special tokens, byte tokens, and 32 more.
    fn min_vocab(self) -> usize {
        match self {
            Self::WordPiece => BERT_SPECIAL_TOKENS.len() + 32,
            Self::Unigram => NUM_UNIGRAM_BASE_TOKENS + 32,
        }
    }
}

/// Trains a tokenizer of at most `vocab` tokens on the first [`MAX_TRAINING_BYTES`](super::MAX_TRAINING_BYTES) bytes of
/// `texts`.
///
/// The same texts give the same WordPiece tokenizer on every machine. A Unigram tokenizer is the same on the same
/// machine: its training adds floating-point numbers in an order that depends on the number of threads.
///
/// # Errors
/// [`DataError::Config`] if `vocab` is too small or above 2²⁰, [`DataError::NoText`] for Unigram without text, or the
/// error of a text.
pub fn train_subword<S: AsRef<str>>(
    model: SubwordModel,
    vocab: usize,
    texts: impl IntoIterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let min = model.min_vocab();
    if !(min..=MAX_VOCAB).contains(&vocab) {
        return Err(vocab_error(vocab, format!("{min} to {MAX_VOCAB}")));
    }
    match model {
        SubwordModel::WordPiece => train_wordpiece(vocab, texts.into_iter()),
        SubwordModel::Unigram => train_unigram(vocab, texts.into_iter()),
    }
}

/// Error of a vocabulary size.
fn vocab_error(vocab: usize, expected: String) -> DataError {
    DataError::Config { key: "vocab", found: vocab.to_string(), expected }
}

/// Special tokens of BERT, with ids 0 to 4.
const BERT_SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// First byte of each word in the training of WordPiece: it keeps pieces at the beginning of a word apart from the
/// same letters within a word. No UTF-8 text contains it.
const WORD_START: u8 = 0xFF;

/// Trains WordPiece: special tokens, then characters (`a`, `##a`) by frequency, then longer pieces in the order of
/// their merges.
fn train_wordpiece<S: AsRef<str>>(
    vocab: usize,
    texts: impl Iterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let mut word_counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut character_counts: BTreeMap<String, u64> = BTreeMap::new();
    for_each_training_text(texts, |text| {
        for word in bert_pre_tokenize(text) {
            for (i, c) in word.chars().enumerate() {
                let prefix = if i > 0 { "##" } else { "" };
                *character_counts.entry(format!("{prefix}{c}")).or_default() += 1;
            }
            let word = [&[WORD_START], word.as_bytes()].concat();
            *word_counts.entry(word[..word.len().min(MAX_WORD_BYTES)].to_vec()).or_default() += 1;
        }
    })?;
    let mut characters: Vec<(String, u64)> = character_counts.into_iter().collect();
    characters.sort_by_key(|(_, count)| Reverse(*count));
    characters.truncate(vocab - BERT_SPECIAL_TOKENS.len());
    let num_pieces = vocab - BERT_SPECIAL_TOKENS.len() - characters.len();
    // Twice as many merges as needed: those that give a single character or split one are no pieces.
    let merges = train_bpe(&word_counts, 256 + 2 * vocab, &HashSet::new());
    let special_tokens = BERT_SPECIAL_TOKENS.map(str::to_string).into_iter();
    let characters = characters.into_iter().map(|(character, _)| character);
    let pieces = merges.token_bytes.iter().filter_map(|bytes| wordpiece_token(bytes)).take(num_pieces);
    let tokens: Vec<String> = special_tokens.chain(characters).chain(pieces).collect();
    let config = serde_json::json!({ "do_lower_case": false });
    Tokenizer::from_json(&convert::from_vocab_txt(&tokens.join("\n"), &config).to_string())
}

/// WordPiece's name of a merged token with two characters or more: `##ing` within a word. `None` for single characters
/// and for bytes that split a character.
fn wordpiece_token(bytes: &[u8]) -> Option<String> {
    let (prefix, bytes) = match bytes.split_first() {
        Some((&WORD_START, rest)) => ("", rest),
        _ => ("##", bytes),
    };
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.chars().nth(1).is_some())?;
    Some(format!("{prefix}{text}"))
}

/// The words of a text as BERT's cased models split it: cleaned, at white space and around punctuation.
fn bert_pre_tokenize(text: &str) -> Vec<String> {
    let mut normalized = NormalizedString::from(text);
    if BertNormalizer::new(true, true, None, false).normalize(&mut normalized).is_err() {
        return Vec::new();
    }
    let mut pre_tokenized = PreTokenizedString::from(normalized);
    if BertPreTokenizer.pre_tokenize(&mut pre_tokenized).is_err() {
        return Vec::new();
    }
    let words = pre_tokenized.get_splits(OffsetReferential::Normalized, OffsetType::None);
    words.into_iter().map(|(word, ..)| word.to_string()).collect()
}

/// Special tokens of T5, with ids 0 to 2.
const UNIGRAM_SPECIAL_TOKENS: [&str; 3] = ["<pad>", "</s>", "<unk>"];
/// Number of special tokens and byte tokens, which come before the pieces.
const NUM_UNIGRAM_BASE_TOKENS: usize = UNIGRAM_SPECIAL_TOKENS.len() + 256;
/// Longer words are split into parts of this many characters.
const MAX_WORD_CHARS: usize = 64;

/// Trains a Unigram model on words at single spaces, with the trainer of the `tokenizers` library: expectation
/// maximization over a large seed vocabulary that shrinks to `vocab`.
fn train_unigram<S: AsRef<str>>(
    vocab: usize,
    texts: impl Iterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for_each_training_text(texts, |text| {
        for word in text.split(' ') {
            let characters: Vec<char> = METASPACE.chars().chain(word.chars()).collect();
            for part in characters.chunks(MAX_WORD_CHARS) {
                let count = counts.entry(part.iter().collect()).or_default();
                *count = count.saturating_add(1);
            }
        }
    })?;
    if counts.is_empty() {
        return Err(DataError::NoText { origin: "the training text of the tokenizer".into() });
    }
    let size = (vocab - NUM_UNIGRAM_BASE_TOKENS) as u32;
    let trainer =
        UnigramTrainer::builder().show_progress(false).vocab_size(size).build().map_err(DataError::tokenizer)?;
    let mut model = Unigram::default();
    trainer.do_train(counts.into_iter().collect(), &mut model).map_err(DataError::tokenizer)?;
    let mut pieces: Vec<(String, f64)> = model.iter().cloned().collect();
    canonicalize_scores(&mut pieces);
    if pieces.len() > size as usize {
        let num_characters = pieces.iter().filter(|(piece, _)| piece.chars().nth(1).is_none()).count();
        let min = num_characters + NUM_UNIGRAM_BASE_TOKENS;
        return Err(vocab_error(vocab, format!("{min} or more, because the text has {num_characters} characters")));
    }
    build_unigram(&pieces)
}

/// Makes the trained pieces independent of the order of hash tables and threads.
///
/// - The trainer keeps every character. Those that it had pruned get the scores `lowest + k · 10⁻⁴`, where `k` counts
///   them in the order of a hash table. These scores are dealt out again in the order of the characters.
/// - Scores are sums over threads, whose last digits depend on the order of addition. They are rounded to 2⁻¹⁶.
/// - Pieces are sorted by score, the highest first, then by text.
fn canonicalize_scores(pieces: &mut [(String, f64)]) {
    let lowest = pieces.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let restored: Vec<usize> =
        (0..pieces.len()).filter(|i| is_restored_character(&pieces[*i].0, pieces[*i].1 - lowest)).collect();
    let mut characters: Vec<String> = restored.iter().map(|i| pieces[*i].0.clone()).collect();
    characters.sort_unstable();
    restored.into_iter().zip(characters).for_each(|(i, character)| pieces[i].0 = character);
    pieces.iter_mut().for_each(|(_, score)| *score = (*score * 65536.0).round() / 65536.0);
    pieces.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

/// Whether a piece is a character that the trainer had pruned: its score is `k · 10⁻⁴` above the lowest, within 10⁻¹⁰.
fn is_restored_character(piece: &str, above_lowest: f64) -> bool {
    let steps = above_lowest / 1e-4;
    piece.chars().count() == 1 && (steps - steps.round()).abs() < 1e-6 && steps < 1e6
}

/// The tokenizer of trained pieces: special tokens, byte tokens, pieces. It is assembled as the metadata of a GGUF
/// file, which has the same parts.
fn build_unigram(pieces: &[(String, f64)]) -> Result<Tokenizer, DataError> {
    let mut gguf = GgufTokenizer {
        model: "t5".into(),
        roles: TokenRoles { pad: Some(0), eos: Some(1), unk: Some(2), ..TokenRoles::default() },
        remove_extra_whitespaces: Some(false),
        ..GgufTokenizer::default()
    };
    let mut push = |token: String, score: f32, token_type: i32| {
        gguf.tokens.push(token);
        gguf.scores.push(score);
        gguf.token_types.push(token_type);
    };
    let special_types = [token_type::CONTROL, token_type::CONTROL, token_type::UNKNOWN];
    UNIGRAM_SPECIAL_TOKENS.into_iter().zip(special_types).for_each(|(token, kind)| push(token.into(), 0.0, kind));
    (0..=255).for_each(|byte| push(to_byte_fallback(byte), 0.0, token_type::BYTE));
    pieces.iter().for_each(|(piece, score)| push(piece.clone(), *score as f32, token_type::NORMAL));
    gguf.to_tokenizer()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "The cat sat on the mat, and the hat on the cat.\nNaïve cafés — 12 cats, 34 hats: 猫が好き 🙂 ☂ ♞ ß ø ł ž Ж Я";

    #[test]
    fn training_twice_gives_the_same_tokenizer() {
        for (kind, vocab) in [(SubwordModel::WordPiece, 120), (SubwordModel::Unigram, 330)] {
            let first = train_subword(kind, vocab, [TEXT; 30].map(Ok)).unwrap();
            assert!(first.vocab_size() <= vocab && first.vocab_size() > vocab / 2, "{kind:?}: {}", first.vocab_size());
            for _ in 0..4 {
                let again = train_subword(kind, vocab, [TEXT; 30].map(Ok)).unwrap();
                assert_eq!(again.fingerprint(), first.fingerprint(), "{kind:?}");
            }
            assert!(first.encode("the cat on the mat").len() < "the cat on the mat".len(), "{kind:?}");
        }
        let error = train_subword(SubwordModel::Unigram, 20, [Ok("text")]).unwrap_err();
        assert_eq!(error.kind(), "config");
    }

    #[test]
    fn unigram_is_lossless_and_wordpiece_maps_rare_characters_to_unk() {
        let unigram = train_subword(SubwordModel::Unigram, 330, [TEXT; 30].map(Ok)).unwrap();
        for text in [TEXT, "  zebra\r\n\u{1F600} \u{0}", "never seen: 龘"] {
            assert_eq!(unigram.decode(&unigram.encode(text)).unwrap(), text);
        }
        let bert = train_subword(SubwordModel::WordPiece, 120, [TEXT; 30].map(Ok)).unwrap();
        assert_eq!(bert.decode(&bert.encode("the cat sat on the mat")).unwrap(), "the cat sat on the mat");
        let encoding = bert.encode_for_model("the 龘", None, &super::super::EncodeOptions::default()).unwrap();
        assert_eq!((encoding.tokens[0].as_str(), encoding.tokens.last().unwrap().as_str()), ("[CLS]", "[SEP]"));
        assert!(encoding.tokens.contains(&"[UNK]".to_string()));
    }
}
