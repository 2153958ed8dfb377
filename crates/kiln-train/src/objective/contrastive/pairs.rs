//! The pairs of a batch: which sequence is an anchor, a positive or a hard negative, and which candidates say the same.

use kiln_data::{Batch, DataError, PackedSequences};
use std::collections::{BTreeMap, HashMap};

/// Place of the anchor in its group.
const ANCHOR: usize = 0;
/// Place of the positive in its group. Members after it are hard negatives.
const POSITIVE: usize = 1;

/// The pairs of a batch, as indices of [`Batch::sequences`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// The anchors, in the order of their rows.
    pub anchors: Vec<usize>,
    /// The positives in the order of their anchors, then all hard negatives.
    pub candidates: Vec<usize>,
    /// Whether candidate j is no negative of anchor i, `[anchors, candidates]`, row-major: the text is a positive of the
    /// anchor, or the anchor itself.
    pub excluded: Vec<bool>,
}

impl Pairs {
    /// The pairs of a batch. Groups without an anchor or without a positive are left out;
    /// `check_groups` refuses them.
    pub fn of_batch(batch: &Batch) -> Self {
        // A batch that crosses the end of an epoch may hold a group twice, in two rows.
        let mut groups = BTreeMap::<(usize, usize), Vec<usize>>::new();
        for (index, sequence) in batch.sequences.iter().enumerate() {
            groups.entry((sequence.row, sequence.group)).or_default().push(index);
        }
        let mut pairs = Self::default();
        let mut negatives: Vec<usize> = Vec::new();
        for members in groups.values() {
            let place = |index: &&usize| batch.sequences[**index].member;
            let [anchor, positive] =
                [ANCHOR, POSITIVE].map(|member| members.iter().find(|index| place(index) == member));
            let (Some(anchor), Some(positive)) = (anchor, positive) else { continue };
            pairs.anchors.push(*anchor);
            pairs.candidates.push(*positive);
            negatives.extend(members.iter().filter(|index| place(index) > POSITIVE));
        }
        pairs.candidates.extend(negatives);
        pairs.excluded = pairs.equal_texts(&text_numbers(batch));
        pairs
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The candidates that are no negatives of an anchor; `texts` numbers the text of each sequence. A candidate other than the
    /// anchor's own positive is excluded if its text is that positive's or the anchor's, or if it is the positive of an equal
    /// anchor.
    fn equal_texts(&self, texts: &[usize]) -> Vec<bool> {
        let mut excluded = Vec::with_capacity(self.anchors.len() * self.candidates.len());
        for (i, anchor) in self.anchors.iter().enumerate() {
            let [anchor, positive] = [texts[*anchor], texts[self.candidates[i]]];
            for (j, candidate) in self.candidates.iter().enumerate() {
                let text = texts[*candidate];
                let of_equal_anchor = self.anchors.get(j).is_some_and(|other| texts[*other] == anchor);
                excluded.push(i != j && (text == positive || text == anchor || of_equal_anchor));
            }
        }
        excluded
    }
}

/// A number for the text of each sequence; equal token ids have equal numbers.
fn text_numbers(batch: &Batch) -> Vec<usize> {
    let mut numbers = HashMap::new();
    let sequences = batch.sequences.iter().map(|sequence| {
        let start = sequence.row * batch.sequence_length + sequence.column;
        let next = numbers.len();
        *numbers.entry(&batch.inputs[start..start + sequence.length]).or_insert(next)
    });
    sequences.collect()
}

/// Checks that each group of packed sequences is a pair: one anchor, one positive, and any number of hard negatives.
///
/// # Errors
/// [`DataError::Batch`] with the row of the first group that is not.
pub fn check_groups(packed: &PackedSequences) -> Result<(), DataError> {
    for (row, sequences) in packed.rows.iter().enumerate() {
        let mut groups = BTreeMap::<usize, Vec<usize>>::new();
        for sequence in sequences {
            groups.entry(sequence.group).or_default().push(sequence.member);
        }
        for members in groups.values_mut() {
            members.sort_unstable();
            if members.len() < 2 || members.iter().enumerate().any(|(place, member)| place != *member) {
                let reason = format!(
                    "the objective `contrastive` expects pairs: groups with the members 0 (anchor), 1 (positive) and then \
                     hard negatives; found the members {members:?}"
                );
                return Err(DataError::Batch { row, reason });
            }
        }
    }
    Ok(())
}
