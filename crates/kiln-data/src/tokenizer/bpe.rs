//! Training of byte-pair encoding (BPE): Sennrich, Haddow & Birch, 1508.07909, algorithm 1, on bytes.
//!
//! The vocabulary begins with the 256 bytes. Each step counts all pairs of neighboring tokens, merges the most frequent
//! pair into a new token, and replaces the pair in all words. Counts are updated only in the words that contain the
//! pair, and a heap finds the most frequent pair: with `n` symbols in distinct words, `m` merges cost about
//! O(n log n + changed pairs · log n) instead of O(m · n).
//!
//! Ties are ordered: the more frequent pair first, then the pair of the smaller ids. The trainer of the `tokenizers`
//! crate takes the order of a randomly seeded hash table where one token can be made by two merges, so that two runs
//! may differ.

use crate::{
    DataError,
    pause::{Pause, complete, no_pause},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet},
};

/// Ids of two neighboring tokens.
type Pair = (u32, u32);

/// BPE vocabulary: tokens with their bytes, and the merges that make them. Ids below 256 are the bytes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Merges {
    /// Bytes of each token, by id.
    pub token_bytes: Vec<Vec<u8>>,
    /// Merged pairs, the first merge first. Encoding applies them in this order.
    pub pairs: Vec<Pair>,
}

/// Trains a vocabulary of at most `vocab` tokens on words with their counts. No token of `forbidden` is made, such as
/// the names of special tokens. Fewer tokens result if no pair is left that occurs [`MIN_PAIR_COUNT`] times.
pub(crate) fn train_bpe(words: &BTreeMap<Vec<u8>, u64>, vocab: usize, forbidden: &HashSet<Vec<u8>>) -> Merges {
    // Without pauses there are no errors.
    complete(train_bpe_async(words, vocab, forbidden, &mut no_pause)).unwrap_or_default()
}

/// [`train_bpe`] with pauses.
///
/// # Errors
/// Those of the pause.
pub(crate) async fn train_bpe_async(
    words: &BTreeMap<Vec<u8>, u64>,
    vocab: usize,
    forbidden: &HashSet<Vec<u8>>,
    pause: &mut impl Pause,
) -> Result<Merges, DataError> {
    let mut trainer = BpeTrainer::new(words);
    while trainer.merges.token_bytes.len() < vocab {
        let Some((count, Reverse(pair))) = trainer.queue.pop() else { break };
        let current_count = trainer.pair_counts.get(&pair).copied().unwrap_or(0);
        let outdated = current_count != count;
        if outdated || count < MIN_PAIR_COUNT || forbidden.contains(&trainer.concat_pair(pair)) {
            continue;
        }
        trainer.merge_pair(pair);
        if trainer.merges.pairs.len().is_multiple_of(MERGES_BETWEEN_PAUSES) {
            pause().await?;
        }
    }
    Ok(trainer.merges)
}

/// Number of merges between two pauses: some milliseconds for the first ones, which change the most words.
const MERGES_BETWEEN_PAUSES: usize = 8;

/// Minimum count of a pair to merge.
const MIN_PAIR_COUNT: u64 = 2;

/// State of the training.
struct BpeTrainer {
    /// Each distinct word as the tokens so far, with its count.
    words: Vec<(Vec<u32>, u64)>,
    pair_counts: HashMap<Pair, u64>,
    /// Indices of the words that contain, or once contained, a pair.
    words_with_pair: HashMap<Pair, Vec<usize>>,
    /// Each pair with every count it had so far; outdated entries are skipped when they are popped.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
    /// Id of each token by its bytes: two merges may make the same token.
    ids: HashMap<Vec<u8>, u32>,
    merges: Merges,
}

impl BpeTrainer {
    fn new(words: &BTreeMap<Vec<u8>, u64>) -> Self {
        let token_bytes: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let mut trainer = Self {
            words: words.iter().map(|(word, count)| (word.iter().map(|b| u32::from(*b)).collect(), *count)).collect(),
            pair_counts: HashMap::new(),
            words_with_pair: HashMap::new(),
            queue: BinaryHeap::new(),
            ids: token_bytes.iter().cloned().zip(0..).collect(),
            merges: Merges { token_bytes, pairs: Vec::new() },
        };
        for word in 0..trainer.words.len() {
            trainer.update_pair_counts(word, true, &mut BTreeSet::new());
        }
        trainer.queue = trainer.pair_counts.iter().map(|(pair, count)| (*count, Reverse(*pair))).collect();
        trainer
    }

    /// Bytes of the token that a merge makes.
    fn concat_pair(&self, (left, right): Pair) -> Vec<u8> {
        [&self.merges.token_bytes[left as usize][..], &self.merges.token_bytes[right as usize]].concat()
    }

    /// Adds the pairs of a word to the counts, or subtracts them, and collects these pairs in `changed`.
    fn update_pair_counts(&mut self, word: usize, add: bool, changed: &mut BTreeSet<Pair>) {
        let (symbols, weight) = &self.words[word];
        for pair in symbols.windows(2).map(|two| (two[0], two[1])) {
            let count = self.pair_counts.entry(pair).or_default();
            *count = if add { *count + weight } else { *count - weight };
            changed.insert(pair);
            if add {
                let words = self.words_with_pair.entry(pair).or_default();
                if words.last() != Some(&word) {
                    words.push(word);
                }
            }
        }
    }

    /// Merges a pair in all words, and queues the pairs whose counts changed.
    fn merge_pair(&mut self, pair: Pair) {
        let bytes = self.concat_pair(pair);
        let id = *self.ids.entry(bytes.clone()).or_insert(self.merges.token_bytes.len() as u32);
        if id as usize == self.merges.token_bytes.len() {
            self.merges.token_bytes.push(bytes);
        }
        self.merges.pairs.push(pair);
        let mut changed = BTreeSet::new();
        let words: BTreeSet<usize> = self.words_with_pair.remove(&pair).unwrap_or_default().into_iter().collect();
        for word in words {
            self.update_pair_counts(word, false, &mut changed);
            replace_pair(&mut self.words[word].0, pair, id);
            self.update_pair_counts(word, true, &mut changed);
        }
        changed.remove(&pair);
        let counts = changed.into_iter().map(|pair| (self.pair_counts[&pair], Reverse(pair)));
        self.queue.extend(counts.filter(|(count, _)| *count >= MIN_PAIR_COUNT));
    }
}

/// Replaces each occurrence of `pair` by `id`, from the left: `a a a` with the pair `a a` becomes `aa a`.
fn replace_pair(symbols: &mut Vec<u32>, pair: Pair, id: u32) {
    let (mut read, mut write) = (0, 0);
    while read < symbols.len() {
        let matches = read + 1 < symbols.len() && (symbols[read], symbols[read + 1]) == pair;
        symbols[write] = if matches { id } else { symbols[read] };
        read += if matches { 2 } else { 1 };
        write += 1;
    }
    symbols.truncate(write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reference: algorithm 1 of the paper, which counts all pairs again for each merge.
    fn reference_bpe(words: &BTreeMap<Vec<u8>, u64>, vocab: usize, forbidden: &HashSet<Vec<u8>>) -> Merges {
        let mut merges = train_bpe(&BTreeMap::new(), 256, &HashSet::new());
        let mut words: Vec<(Vec<u32>, u64)> =
            words.iter().map(|(word, count)| (word.iter().map(|b| u32::from(*b)).collect(), *count)).collect();
        while merges.token_bytes.len() < vocab {
            let mut counts: BTreeMap<Pair, u64> = BTreeMap::new();
            for (word, count) in &words {
                word.windows(2).for_each(|two| *counts.entry((two[0], two[1])).or_default() += count);
            }
            let joined =
                |pair: &Pair| [&merges.token_bytes[pair.0 as usize][..], &merges.token_bytes[pair.1 as usize]].concat();
            let allowed = counts.iter().filter(|(pair, count)| **count >= 2 && !forbidden.contains(&joined(pair)));
            let Some((pair, _)) = allowed.max_by_key(|(pair, count)| (**count, Reverse(**pair))) else { break };
            let (pair, bytes) = (*pair, joined(pair));
            let known = merges.token_bytes.iter().position(|known| *known == bytes);
            let id = known.unwrap_or(merges.token_bytes.len());
            if known.is_none() {
                merges.token_bytes.push(bytes);
            }
            merges.pairs.push(pair);
            words.iter_mut().for_each(|(word, _)| replace_pair(word, pair, id as u32));
        }
        merges
    }

    proptest! {
        #[test]
        fn training_equals_counting_all_pairs_for_each_merge(
            words in prop::collection::btree_map("[ab]{1,12}|[abc]{1,9}", 1u64..5, 0..12), vocab in 250usize..300,
        ) {
            let words: BTreeMap<Vec<u8>, u64> = words.into_iter().map(|(word, n)| (word.into_bytes(), n)).collect();
            let forbidden = HashSet::from([b"ab".to_vec(), b"cab".to_vec()]);
            for forbidden in [HashSet::new(), forbidden] {
                let merges = train_bpe(&words, vocab, &forbidden);
                prop_assert!(merges.token_bytes.iter().all(|bytes| !forbidden.contains(bytes)));
                prop_assert_eq!(merges, reference_bpe(&words, vocab, &forbidden));
            }
        }
    }

    #[test]
    fn pairs_are_replaced_from_the_left() {
        let mut symbols = vec![1, 1, 1, 2, 1, 1];
        replace_pair(&mut symbols, (1, 1), 9);
        assert_eq!(symbols, [9, 1, 2, 9]);
    }
}
