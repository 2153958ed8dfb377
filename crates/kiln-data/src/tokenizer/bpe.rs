//! Learning a byte-pair vocabulary (1508.07909).
//!
//! The `tokenizers` crate's own trainer breaks ties by the order of a randomly seeded hash table where one token
//! can be made in two ways, so that two runs may differ. Here every tie has an order: more frequent first, then the
//! older tokens.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet},
};

/// Two tokens side by side.
type Pair = (u32, u32);

/// A vocabulary learned from words: ids below 256 are the bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Merges {
    /// The bytes of every token, by id.
    pub token_bytes: Vec<Vec<u8>>,
    /// Which tokens are merged, in order.
    pub pairs: Vec<Pair>,
}

/// Learns at most `tokens` tokens from words with their counts; none of the `forbidden` is made.
pub(crate) fn train_bpe(words: &BTreeMap<Vec<u8>, u64>, tokens: usize, forbidden: &HashSet<Vec<u8>>) -> Merges {
    let mut learner = BpeTrainer::new(words);
    while learner.merges.token_bytes.len() < tokens {
        let Some((count, Reverse(pair))) = learner.queue.pop() else { break };
        let now = learner.pair_counts.get(&pair).copied().unwrap_or(0);
        if now != count || count < MIN_PAIR_COUNT || forbidden.contains(&learner.concat_pair(pair)) {
            continue;
        }
        learner.merge_pair(pair);
    }
    learner.merges
}

/// A pair seen less often is not merged.
const MIN_PAIR_COUNT: u64 = 2;

struct BpeTrainer {
    words: Vec<(Vec<u32>, u64)>,
    pair_counts: HashMap<Pair, u64>,
    words_with_pair: HashMap<Pair, Vec<usize>>,
    /// Every pair with each count it ever had; outdated entries are dropped when they come up.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
    ids: HashMap<Vec<u8>, u32>,
    merges: Merges,
}

impl BpeTrainer {
    fn new(words: &BTreeMap<Vec<u8>, u64>) -> Self {
        let pieces: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let mut learner = Self {
            words: words.iter().map(|(word, count)| (word.iter().map(|b| u32::from(*b)).collect(), *count)).collect(),
            pair_counts: HashMap::new(),
            words_with_pair: HashMap::new(),
            queue: BinaryHeap::new(),
            ids: pieces.iter().cloned().zip(0..).collect(),
            merges: Merges { token_bytes: pieces, pairs: Vec::new() },
        };
        for word in 0..learner.words.len() {
            learner.update_pair_counts(word, true, &mut BTreeSet::new());
        }
        learner.queue = learner.pair_counts.iter().map(|(pair, count)| (*count, Reverse(*pair))).collect();
        learner
    }

    fn concat_pair(&self, (left, right): Pair) -> Vec<u8> {
        [&self.merges.token_bytes[left as usize][..], &self.merges.token_bytes[right as usize]].concat()
    }

    /// Adds a word's pairs to the counts, or takes them out, and notes which pairs those are.
    fn update_pair_counts(&mut self, word: usize, add: bool, changed: &mut BTreeSet<Pair>) {
        let (symbols, weight) = &self.words[word];
        for pair in symbols.windows(2).map(|two| (two[0], two[1])) {
            let count = self.pair_counts.entry(pair).or_default();
            *count = if add { *count + weight } else { *count - weight };
            changed.insert(pair);
            if add {
                let places = self.words_with_pair.entry(pair).or_default();
                if places.last() != Some(&word) {
                    places.push(word);
                }
            }
        }
    }

    fn merge_pair(&mut self, pair: Pair) {
        let piece = self.concat_pair(pair);
        let id = *self.ids.entry(piece.clone()).or_insert(self.merges.token_bytes.len() as u32);
        if id as usize == self.merges.token_bytes.len() {
            self.merges.token_bytes.push(piece);
        }
        self.merges.pairs.push(pair);
        let mut changed = BTreeSet::new();
        let places: BTreeSet<usize> = self.words_with_pair.remove(&pair).unwrap_or_default().into_iter().collect();
        for word in places {
            self.update_pair_counts(word, false, &mut changed);
            replace_pair(&mut self.words[word].0, pair, id);
            self.update_pair_counts(word, true, &mut changed);
        }
        changed.remove(&pair);
        let counts = changed.into_iter().map(|pair| (self.pair_counts[&pair], Reverse(pair)));
        self.queue.extend(counts.filter(|(count, _)| *count >= MIN_PAIR_COUNT));
    }
}

/// Replaces every occurrence of `pair`, from the left, by `id`.
fn replace_pair(symbols: &mut Vec<u32>, pair: Pair, id: u32) {
    let (mut read, mut write) = (0, 0);
    while read < symbols.len() {
        let found = read + 1 < symbols.len() && (symbols[read], symbols[read + 1]) == pair;
        symbols[write] = if found { id } else { symbols[read] };
        read += if found { 2 } else { 1 };
        write += 1;
    }
    symbols.truncate(write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same by the definition: count everything anew for every merge.
    fn by_definition(words: &BTreeMap<Vec<u8>, u64>, tokens: usize, forbidden: &HashSet<Vec<u8>>) -> Merges {
        let mut merges = train_bpe(&BTreeMap::new(), 256, &HashSet::new());
        let spelt = |(word, count): (&Vec<u8>, &u64)| (word.iter().map(|b| u32::from(*b)).collect::<Vec<_>>(), *count);
        let mut words: Vec<(Vec<u32>, u64)> = words.iter().map(spelt).collect();
        while merges.token_bytes.len() < tokens {
            let mut counts: BTreeMap<Pair, u64> = BTreeMap::new();
            for (word, count) in &words {
                word.windows(2).for_each(|two| *counts.entry((two[0], two[1])).or_default() += count);
            }
            let joined =
                |pair: &Pair| [&merges.token_bytes[pair.0 as usize][..], &merges.token_bytes[pair.1 as usize]].concat();
            let legal = counts.iter().filter(|(pair, count)| **count >= 2 && !forbidden.contains(&joined(pair)));
            let Some((pair, _)) = legal.max_by_key(|(pair, count)| (**count, Reverse(**pair))) else { break };
            let (pair, piece) = (*pair, joined(pair));
            let known = merges.token_bytes.iter().position(|known| *known == piece);
            let id = known.unwrap_or(merges.token_bytes.len());
            if known.is_none() {
                merges.token_bytes.push(piece);
            }
            merges.pairs.push(pair);
            words.iter_mut().for_each(|(word, _)| replace_pair(word, pair, id as u32));
        }
        merges
    }

    proptest! {
        #[test]
        fn learning_is_counting_anew_for_every_merge(
            words in prop::collection::btree_map("[ab]{1,12}|[abc]{1,9}", 1u64..5, 0..12), tokens in 250usize..300,
        ) {
            let words: BTreeMap<Vec<u8>, u64> = words.into_iter().map(|(word, n)| (word.into_bytes(), n)).collect();
            let forbidden = HashSet::from([b"ab".to_vec(), b"cab".to_vec()]);
            for forbidden in [HashSet::new(), forbidden] {
                let learned = train_bpe(&words, tokens, &forbidden);
                prop_assert!(learned.token_bytes.iter().all(|piece| !forbidden.contains(piece)));
                prop_assert_eq!(learned, by_definition(&words, tokens, &forbidden));
            }
        }
    }

    #[test]
    fn merges_are_replaced_from_the_left() {
        let mut symbols = vec![1, 1, 1, 2, 1, 1];
        replace_pair(&mut symbols, (1, 1), 9);
        assert_eq!(symbols, [9, 1, 2, 9]);
    }
}
