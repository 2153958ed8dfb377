//! Writing: one choice after the other.

use kiln_spec::Random;

use super::{
    choice::{apply_choice, choices_for},
    grammar::templates_for,
    plot::{NextKinds, next_kinds, record_sentence},
    sentence_kind::SentenceKind,
    slot::TemplatePart,
    state::StoryState,
    surface::surface_form,
};

/// A story's text, and the logarithm (nats) of the probability of the choices that made it.
pub(crate) fn generate(random: &mut Random) -> (String, f64) {
    let (mut text, mut log_p, mut state) = (String::with_capacity(1024), 0.0, StoryState::initial());
    let mut acts = NextKinds::new();
    loop {
        next_kinds(&state, &mut acts);
        let (i, p) = sample_weighted(random, acts.iter().map(|(_, weight)| *weight));
        log_p += p.ln();
        let act = acts[i].0;
        if act == SentenceKind::End {
            return (text, log_p);
        }
        if !text.is_empty() {
            text.push(' ');
        }
        log_p += generate_sentence(random, act, &mut state, &mut text).ln();
    }
}

/// Appends a sentence and returns the probability of its choices.
fn generate_sentence(random: &mut Random, act: SentenceKind, state: &mut StoryState, text: &mut String) -> f64 {
    let (i, mut probability) = sample_weighted(random, templates_for(act).iter().map(|line| line.probability));
    for part in &templates_for(act)[i].parts {
        if let TemplatePart::Text(literal) = part {
            text.push_str(literal);
            continue;
        }
        let choices = choices_for(part, state);
        let (i, p) = sample_weighted(random, choices.as_slice().iter().map(|(_, weight)| *weight));
        let value = choices.as_slice()[i].0;
        let [first, second] = surface_form(part, state, value);
        text.push_str(first);
        if !second.is_empty() {
            text.push(' ');
            text.push_str(second);
        }
        apply_choice(part, state, value);
        probability *= p;
    }
    record_sentence(state, act);
    probability
}

/// An index with its probability, by weight; nothing is drawn where there is no choice.
fn sample_weighted(random: &mut Random, weights: impl Iterator<Item = f64> + Clone) -> (usize, f64) {
    let total: f64 = weights.clone().sum();
    let (count, _) = weights.size_hint();
    let mut left = if count == 1 { 0.0 } else { random.uniform() * total };
    let mut chosen = (0, 0.0);
    for (i, weight) in weights.enumerate() {
        chosen = (i, weight / total);
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_as_frequent_as_they_are_said_to_be() {
        let (mut random, weights) = (Random::new(0, "draw", 0, 0), [3.0, 0.5, 1.5]);
        let mut counts = [0.0; 3];
        for _ in 0..100_000 {
            let (i, p) = sample_weighted(&mut random, weights.iter().copied());
            assert_eq!(p, weights[i] / 5.0);
            counts[i] += 1.0;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let expected: f64 = 100_000.0 * weight / 5.0;
            assert!((count - expected).abs() < 5.0 * expected.sqrt(), "{counts:?}");
        }
    }
}
