//! What the story so far may be, where the text leaves it open.

use super::{
    plot::{NextKinds, next_kinds},
    sentence_kind::SentenceKind,
    state::StoryState,
};

/// What the story so far may be, with probabilities that sum to 1.
pub(crate) type Belief = Vec<(StoryState, f64)>;

/// Sums what leads to the same state.
pub(crate) fn merge_states(found: Belief) -> Belief {
    let mut merged: Belief = Vec::with_capacity(found.len());
    for (state, p) in found {
        match merged.iter_mut().find(|(known, _)| *known == state) {
            Some((_, sum)) => *sum += p,
            None => merged.push((state, p)),
        }
    }
    merged
}

/// Scales a belief to sum to 1 and returns the sum that it had.
pub(crate) fn normalize(belief: &mut Belief) -> f64 {
    let total: f64 = belief.iter().map(|(_, p)| p).sum();
    belief.iter_mut().for_each(|(_, p)| *p /= total);
    total
}

/// The probability that the story ends here, and whether anything else may follow.
pub(crate) fn end_probability(belief: &Belief) -> (f64, bool) {
    let (mut acts, mut ends, mut goes_on) = (NextKinds::new(), 0.0, false);
    for (state, p) in belief {
        next_kinds(state, &mut acts);
        let total: f64 = acts.iter().map(|(_, weight)| weight).sum();
        for (act, weight) in &acts {
            if *act == SentenceKind::End {
                ends += p * weight / total;
            } else {
                goes_on = true;
            }
        }
    }
    (ends, goes_on)
}
