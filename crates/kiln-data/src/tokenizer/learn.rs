//! Learning vocabularies of the field's other kinds: WordPiece and Unigram.

use super::{
    Carried, Roles, Tokenizer, convert,
    merges::learn as merge,
    train::{LONGEST_WORD, broken, sample},
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
pub enum Learned {
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
pub fn learn<S: AsRef<str>>(
    kind: Learned,
    vocab: usize,
    texts: impl IntoIterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let (key, least) = match kind {
        Learned::WordPiece => ("vocab", BERT.len() + 32),
        Learned::Unigram => ("vocab", UNIGRAM.len() + 256 + 32),
    };
    if !(least..=1 << 20).contains(&vocab) {
        let expected = format!("{least} to {}", 1 << 20);
        return Err(DataError::Config { key, found: vocab.to_string(), expected });
    }
    match kind {
        Learned::WordPiece => word_piece(vocab, texts.into_iter()),
        Learned::Unigram => unigram(vocab, texts.into_iter()),
    }
}

const BERT: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// A byte that no text holds: here, the beginning of a word.
const BEGINNING: u8 = 0xFF;

fn word_piece<S: AsRef<str>>(
    vocab: usize,
    texts: impl Iterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut letters: BTreeMap<String, u64> = BTreeMap::new();
    sample(texts, |text| {
        for word in bert_words(text) {
            for (i, c) in word.chars().enumerate() {
                *letters.entry(format!("{}{c}", if i > 0 { "##" } else { "" })).or_default() += 1;
            }
            let word = [&[BEGINNING], word.as_bytes()].concat();
            *counts.entry(word[..word.len().min(LONGEST_WORD)].to_vec()).or_default() += 1;
        }
    })?;
    let mut letters: Vec<(String, u64)> = letters.into_iter().collect();
    letters.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    letters.truncate(vocab - BERT.len());
    let room = vocab - BERT.len() - letters.len();
    let pieces = merge(&counts, 256 + 2 * vocab, &HashSet::new()).pieces;
    let pieces = pieces.iter().filter_map(|piece| spelled(piece)).take(room);
    let all = BERT.map(str::to_string).into_iter().chain(letters.into_iter().map(|(c, _)| c)).chain(pieces);
    let lines: Vec<String> = all.collect();
    let config = serde_json::json!({ "do_lower_case": false });
    Tokenizer::from_json(&convert::vocab_txt(&lines.join("\n"), &config).to_string())
}

/// A piece of several characters as WordPiece spells it; none if it cuts one.
fn spelled(piece: &[u8]) -> Option<String> {
    let (begins, rest) = match piece.split_first() {
        Some((&BEGINNING, rest)) => (true, rest),
        _ => (false, piece),
    };
    let text = std::str::from_utf8(rest).ok().filter(|text| text.chars().nth(1).is_some())?;
    Some(if begins { text.to_string() } else { format!("##{text}") })
}

/// The words of a text, as BERT cuts it without changing capitals.
fn bert_words(text: &str) -> Vec<String> {
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

const UNIGRAM: [&str; 3] = ["<pad>", "</s>", "<unk>"];
/// What stands for a space.
const SPACE: char = '\u{2581}';
/// Longer words are learned from in pieces of this many characters.
const WORD: usize = 64;

fn unigram<S: AsRef<str>>(
    vocab: usize,
    texts: impl Iterator<Item = Result<S, DataError>>,
) -> Result<Tokenizer, DataError> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    sample(texts, |text| {
        for word in text.split(' ') {
            let letters: Vec<char> = std::iter::once(SPACE).chain(word.chars()).collect();
            letters.chunks(WORD).for_each(|part| {
                let count = counts.entry(part.iter().collect()).or_default();
                *count = count.saturating_add(1);
            });
        }
    })?;
    if counts.is_empty() {
        return Err(DataError::Empty { origin: "the text to learn from".into() });
    }
    let size = (vocab - UNIGRAM.len() - 256) as u32;
    let trainer = UnigramTrainer::builder().show_progress(false).vocab_size(size).build().map_err(broken)?;
    let mut model = Unigram::default();
    trainer.do_train(counts.into_iter().collect(), &mut model).map_err(broken)?;
    let mut pieces: Vec<(String, f64)> = model.iter().cloned().collect();
    settle(&mut pieces);
    if pieces.len() > size as usize {
        let letters = pieces.iter().filter(|(piece, _)| piece.chars().nth(1).is_none()).count();
        let expected = format!("{} or more: so many characters are in the text", letters + UNIGRAM.len() + 256);
        return Err(DataError::Config { key: "vocab", found: vocab.to_string(), expected });
    }
    assembled(&pieces)
}

/// Characters that were pruned come back with made-up scores, in the order of a hash table, and so do pieces of equal
/// scores: here, in their own. The last digits of a score depend on the order in which threads add.
fn settle(pieces: &mut [(String, f64)]) {
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

fn assembled(pieces: &[(String, f64)]) -> Result<Tokenizer, DataError> {
    let own = UNIGRAM.into_iter().map(str::to_string).zip([0.0f32; 3]).zip([3, 3, 2]);
    let bytes = (0..=255).map(|byte| ((super::bytes::fallback(byte), 0.0), 6));
    let learned = pieces.iter().map(|(piece, score)| ((piece.clone(), *score as f32), 1));
    let all: Vec<((String, f32), i32)> = own.chain(bytes).chain(learned).collect();
    let carried = Carried {
        model: "t5".into(),
        tokens: all.iter().map(|((token, _), _)| token.clone()).collect(),
        scores: all.iter().map(|((_, score), _)| *score).collect(),
        types: all.iter().map(|(_, kind)| *kind).collect(),
        roles: Roles { pad: Some(0), eos: Some(1), unk: Some(2), ..Roles::default() },
        remove_extra_whitespaces: Some(false),
        ..Carried::default()
    };
    carried.tokenizer()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "The cat sat on the mat, and the hat on the cat.\nNaïve cafés — 12 cats, 34 hats: 猫が好き 🙂 ☂ ♞ ß ø ł ž Ж Я";

    #[test]
    fn learning_again_gives_the_same_tokenizer() {
        for (kind, vocab) in [(Learned::WordPiece, 120), (Learned::Unigram, 330)] {
            let learned = || learn(kind, vocab, [TEXT; 30].map(Ok)).unwrap();
            let first = learned();
            assert!(first.vocab() <= vocab && first.vocab() > vocab / 2, "{kind:?}: {}", first.vocab());
            (0..4).for_each(|_| assert_eq!(learned().fingerprint(), first.fingerprint(), "{kind:?}"));
            assert!(first.encode("the cat on the mat").len() < "the cat on the mat".len(), "{kind:?}");
        }
        let error = learn(Learned::Unigram, 20, [Ok("text")]).unwrap_err();
        assert_eq!(error.kind(), "config");
    }

    #[test]
    fn unigram_spells_everything_and_word_piece_what_it_knows() {
        let unigram = learn(Learned::Unigram, 330, [TEXT; 30].map(Ok)).unwrap();
        for text in [TEXT, "  zebra\r\n\u{1F600} \u{0}", "never seen: 龘"] {
            assert_eq!(unigram.decode(&unigram.encode(text)).unwrap(), text);
        }
        let bert = learn(Learned::WordPiece, 120, [TEXT; 30].map(Ok)).unwrap();
        assert_eq!(bert.decode(&bert.encode("the cat sat on the mat")).unwrap(), "the cat sat on the mat");
        let found = bert.prepare("the 龘", None, &super::super::Preparation::default()).unwrap();
        assert_eq!((found.tokens[0].as_str(), found.tokens.last().unwrap().as_str()), ("[CLS]", "[SEP]"));
        assert!(found.tokens.contains(&"[UNK]".to_string()));
    }
}
