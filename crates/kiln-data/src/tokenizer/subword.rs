//! Learning vocabularies of the field's other kinds: WordPiece and Unigram.

use super::{
    GgufTokenizer, TokenRoles, Tokenizer,
    bpe::train_bpe as merge,
    convert,
    train::{MAX_WORD_BYTES, for_each_training_text, tokenizer_error},
};
use crate::DataError;
use std::collections::{BTreeMap, HashSet};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    models::unigram::{Unigram, UnigramTrainer},
    normalizers::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer,
};

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubwordModel {
    /// BERT's kind (1810.04805): words, and pieces that go on within one. The pieces are those of pair merging.
    WordPiece,
    /// SentencePiece's kind (1804.10959): of all ways to spell a text the likeliest. What it can't spell becomes bytes.
    Unigram,
}

/// Learns a tokenizer of at most `vocab` tokens from the first [`TRAINING_TEXT`](super::TRAINING_TEXT) bytes of texts.
/// WordPiece is the same from the same texts everywhere, Unigram on the same machine.
///
/// # Errors
/// If the vocabulary is too small or too large, or there is no text.
pub fn train_subword<S: AsRef<str>>(
    kind: SubwordModel,
    vocab: usize,
    texts: impl IntoIterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let (key, least) = match kind {
        SubwordModel::WordPiece => ("vocab", BERT_SPECIAL_TOKENS.len() + 32),
        SubwordModel::Unigram => ("vocab", UNIGRAM_SPECIAL_TOKENS.len() + 256 + 32),
    };
    if !(least..=1 << 20).contains(&vocab) {
        let expected = format!("{least} to {}", 1 << 20);
        return Err(DataError::Config { key, found: vocab.to_string(), expected });
    }
    match kind {
        SubwordModel::WordPiece => train_wordpiece(vocab, texts.into_iter()),
        SubwordModel::Unigram => train_unigram(vocab, texts.into_iter()),
    }
}

const BERT_SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// A byte that no text holds: here, the beginning of a word.
const WORD_START: u8 = 0xFF;

fn train_wordpiece<S: AsRef<str>>(
    vocab: usize,
    texts: impl Iterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut letters: BTreeMap<String, u64> = BTreeMap::new();
    for_each_training_text(texts, |text| {
        for word in bert_pre_tokenize(text) {
            for (i, c) in word.chars().enumerate() {
                *letters.entry(format!("{}{c}", if i > 0 { "##" } else { "" })).or_default() += 1;
            }
            let word = [&[WORD_START], word.as_bytes()].concat();
            *counts.entry(word[..word.len().min(MAX_WORD_BYTES)].to_vec()).or_default() += 1;
        }
    })?;
    let mut letters: Vec<(String, u64)> = letters.into_iter().collect();
    letters.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    letters.truncate(vocab - BERT_SPECIAL_TOKENS.len());
    let room = vocab - BERT_SPECIAL_TOKENS.len() - letters.len();
    let pieces = merge(&counts, 256 + 2 * vocab, &HashSet::new()).token_bytes;
    let pieces = pieces.iter().filter_map(|piece| wordpiece_token(piece)).take(room);
    let all =
        BERT_SPECIAL_TOKENS.map(str::to_string).into_iter().chain(letters.into_iter().map(|(c, _)| c)).chain(pieces);
    let lines: Vec<String> = all.collect();
    let config = serde_json::json!({ "do_lower_case": false });
    Tokenizer::from_json(&convert::from_vocab_txt(&lines.join("\n"), &config).to_string())
}

/// A piece of several characters as WordPiece spells it; none if it cuts one.
fn wordpiece_token(piece: &[u8]) -> Option<String> {
    let (begins, rest) = match piece.split_first() {
        Some((&WORD_START, rest)) => (true, rest),
        _ => (false, piece),
    };
    let text = std::str::from_utf8(rest).ok().filter(|text| text.chars().nth(1).is_some())?;
    Some(if begins { text.to_string() } else { format!("##{text}") })
}

/// The words of a text, as BERT cuts it without changing capitals.
fn bert_pre_tokenize(text: &str) -> Vec<String> {
    let mut cleaned = NormalizedString::from(text);
    if BertNormalizer::new(true, true, None, false).normalize(&mut cleaned).is_err() {
        return Vec::new();
    }
    let mut cut = PreTokenizedString::from(cleaned);
    if BertPreTokenizer.pre_tokenize(&mut cut).is_err() {
        return Vec::new();
    }
    let words = cut.get_splits(OffsetReferential::Normalized, OffsetType::None);
    words.into_iter().map(|(word, ..)| word.to_string()).collect()
}

const UNIGRAM_SPECIAL_TOKENS: [&str; 3] = ["<pad>", "</s>", "<unk>"];
/// What stands for a space.
const METASPACE: char = '\u{2581}';
/// Longer words are learned from in pieces of this many characters.
const MAX_WORD_CHARS: usize = 64;

fn train_unigram<S: AsRef<str>>(
    vocab: usize,
    texts: impl Iterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for_each_training_text(texts, |text| {
        for word in text.split(' ') {
            let letters: Vec<char> = std::iter::once(METASPACE).chain(word.chars()).collect();
            letters.chunks(MAX_WORD_CHARS).for_each(|part| {
                let count = counts.entry(part.iter().collect()).or_default();
                *count = count.saturating_add(1);
            });
        }
    })?;
    if counts.is_empty() {
        return Err(DataError::NoText { origin: "the text to learn from".into() });
    }
    let size = (vocab - UNIGRAM_SPECIAL_TOKENS.len() - 256) as u32;
    let trainer = UnigramTrainer::builder().show_progress(false).vocab_size(size).build().map_err(tokenizer_error)?;
    let mut model = Unigram::default();
    trainer.do_train(counts.into_iter().collect(), &mut model).map_err(tokenizer_error)?;
    let mut pieces: Vec<(String, f64)> = model.iter().cloned().collect();
    canonicalize_scores(&mut pieces);
    if pieces.len() > size as usize {
        let letters = pieces.iter().filter(|(piece, _)| piece.chars().nth(1).is_none()).count();
        let expected =
            format!("{} or more: so many characters are in the text", letters + UNIGRAM_SPECIAL_TOKENS.len() + 256);
        return Err(DataError::Config { key: "vocab", found: vocab.to_string(), expected });
    }
    build_unigram(&pieces)
}

/// Characters that were pruned come back with made-up scores, in the order of a hash table, and so do pieces of equal
/// scores: here, in their own. The last digits of a score depend on the order in which threads add.
fn canonicalize_scores(pieces: &mut [(String, f64)]) {
    let lowest = pieces.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let steps = |score: f64| (score - lowest) / 1e-4;
    let made_up = |(piece, score): &(String, f64)| {
        let steps = steps(*score);
        piece.chars().count() == 1 && (steps - steps.round()).abs() < 1e-6 && steps < 1e6
    };
    let places: Vec<usize> = (0..pieces.len()).filter(|i| made_up(&pieces[*i])).collect();
    let mut texts: Vec<String> = places.iter().map(|i| pieces[*i].0.clone()).collect();
    texts.sort_unstable();
    places.into_iter().zip(texts).for_each(|(i, text)| pieces[i].0 = text);
    pieces.iter_mut().for_each(|(_, score)| *score = (*score * 65536.0).round() / 65536.0);
    pieces.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

fn build_unigram(pieces: &[(String, f64)]) -> Result<Tokenizer, DataError> {
    let own = UNIGRAM_SPECIAL_TOKENS.into_iter().map(str::to_string).zip([0.0f32; 3]).zip([3, 3, 2]);
    let bytes = (0..=255).map(|byte| ((super::byte_encoding::to_byte_fallback(byte), 0.0), 6));
    let learned = pieces.iter().map(|(piece, score)| ((piece.clone(), *score as f32), 1));
    let all: Vec<((String, f32), i32)> = own.chain(bytes).chain(learned).collect();
    let carried = GgufTokenizer {
        model: "t5".into(),
        tokens: all.iter().map(|((token, _), _)| token.clone()).collect(),
        scores: all.iter().map(|((_, score), _)| *score).collect(),
        token_types: all.iter().map(|(_, kind)| *kind).collect(),
        roles: TokenRoles { pad: Some(0), eos: Some(1), unk: Some(2), ..TokenRoles::default() },
        remove_extra_whitespaces: Some(false),
        ..GgufTokenizer::default()
    };
    carried.to_tokenizer()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "The cat sat on the mat, and the hat on the cat.\nNaïve cafés — 12 cats, 34 hats: 猫が好き 🙂 ☂ ♞ ß ø ł ž Ж Я";

    #[test]
    fn learning_again_gives_the_same_tokenizer() {
        for (kind, vocab) in [(SubwordModel::WordPiece, 120), (SubwordModel::Unigram, 330)] {
            let learned = || train_subword(kind, vocab, [TEXT; 30].map(Ok)).unwrap();
            let first = learned();
            assert!(first.vocab_size() <= vocab && first.vocab_size() > vocab / 2, "{kind:?}: {}", first.vocab_size());
            (0..4).for_each(|_| assert_eq!(learned().fingerprint(), first.fingerprint(), "{kind:?}"));
            assert!(first.encode("the cat on the mat").len() < "the cat on the mat".len(), "{kind:?}");
        }
        let error = train_subword(SubwordModel::Unigram, 20, [Ok("text")]).unwrap_err();
        assert_eq!(error.kind(), "config");
    }

    #[test]
    fn unigram_spells_everything_and_word_piece_what_it_knows() {
        let unigram = train_subword(SubwordModel::Unigram, 330, [TEXT; 30].map(Ok)).unwrap();
        for text in [TEXT, "  zebra\r\n\u{1F600} \u{0}", "never seen: 龘"] {
            assert_eq!(unigram.decode(&unigram.encode(text)).unwrap(), text);
        }
        let bert = train_subword(SubwordModel::WordPiece, 120, [TEXT; 30].map(Ok)).unwrap();
        assert_eq!(bert.decode(&bert.encode("the cat sat on the mat")).unwrap(), "the cat sat on the mat");
        let found = bert.encode_for_model("the 龘", None, &super::super::EncodeOptions::default()).unwrap();
        assert_eq!((found.tokens[0].as_str(), found.tokens.last().unwrap().as_str()), ("[CLS]", "[SEP]"));
        assert!(found.tokens.contains(&"[UNK]".to_string()));
    }
}
