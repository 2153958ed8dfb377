//! Belief: probability distribution over the story states that a text prefix allows.

use super::{
    plot::{NextKinds, next_kinds},
    sentence_kind::SentenceKind,
    state::StoryState,
};

/// Story states with their probabilities given the text so far. Mostly a single state.
pub(crate) type Belief = Vec<(StoryState, f64)>;

/// Adds up the probabilities of equal states. Quadratic in the number of states, which is small.
pub(crate) fn merge_states(states: Belief) -> Belief {
    let mut merged: Belief = Vec::with_capacity(states.len());
    for (state, p) in states {
        match merged.iter_mut().find(|(known, _)| *known == state) {
            Some((_, sum)) => *sum += p,
            None => merged.push((state, p)),
        }
    }
    merged
}

/// Scales the probabilities to sum to 1 and returns their sum before.
pub(crate) fn normalize(belief: &mut Belief) -> f64 {
    let total: f64 = belief.iter().map(|(_, p)| p).sum();
    belief.iter_mut().for_each(|(_, p)| *p /= total);
    total
}

/// Probability that the story ends here, and whether a further sentence is possible.
pub(crate) fn end_probability(belief: &Belief) -> (f64, bool) {
    let mut kinds = NextKinds::new();
    let mut end = 0.0;
    let mut may_continue = false;
    for (state, p) in belief {
        next_kinds(state, &mut kinds);
        let total: f64 = kinds.iter().map(|(_, weight)| weight).sum();
        for (kind, weight) in &kinds {
            if *kind == SentenceKind::End {
                end += p * weight / total;
            } else {
                may_continue = true;
            }
        }
    }
    (end, may_continue)
}
