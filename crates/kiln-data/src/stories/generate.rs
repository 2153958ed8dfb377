//! Story writer: ancestral sampling from the grammar, one choice after the other.

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

/// Writes a story. Returns its text and the log-probability (nats) of the choices made: a lower bound of the
/// log-probability of the text, which other choices may also produce.
pub(crate) fn generate(random: &mut Random) -> (String, f64) {
    let mut text = String::with_capacity(1024);
    let mut log_prob = 0.0;
    let mut state = StoryState::initial();
    let mut kinds = NextKinds::new();
    loop {
        next_kinds(&state, &mut kinds);
        let (i, p) = sample_weighted(random, kinds.iter().map(|(_, weight)| *weight));
        log_prob += p.ln();
        let kind = kinds[i].0;
        if kind == SentenceKind::End {
            return (text, log_prob);
        }
        if !text.is_empty() {
            text.push(' ');
        }
        log_prob += generate_sentence(random, kind, &mut state, &mut text).ln();
    }
}

/// Appends a sentence of the given kind and returns the probability of its template and slot values.
fn generate_sentence(random: &mut Random, kind: SentenceKind, state: &mut StoryState, text: &mut String) -> f64 {
    let templates = templates_for(kind);
    let (i, mut probability) = sample_weighted(random, templates.iter().map(|template| template.probability));
    for part in &templates[i].parts {
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
    record_sentence(state, kind);
    probability
}

/// Samples an index in proportion to the weights and returns it with its probability. Draws no random number if there
/// is only one option.
fn sample_weighted(random: &mut Random, weights: impl Iterator<Item = f64> + Clone) -> (usize, f64) {
    let total: f64 = weights.clone().sum();
    let (count, _) = weights.size_hint();
    let mut remaining = if count == 1 { 0.0 } else { random.uniform() * total };
    let mut chosen = (0, 0.0);
    for (i, weight) in weights.enumerate() {
        chosen = (i, weight / total);
        remaining -= weight;
        if remaining < 0.0 {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_frequencies_match_the_returned_probabilities() {
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
