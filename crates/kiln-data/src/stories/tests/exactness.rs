use super::*;
use crate::stories::{generate::generate, log_prob, sentence_kind::SentenceKind, story, text};
use kiln_spec::Random;

#[test]
fn the_probabilities_of_all_next_sentences_sum_to_one() {
    let mut seen = 0;
    for index in 0..4 {
        let text = text(5, index);
        for count in 0..=split_sentences(&text).len() {
            let belief = belief_after(&text, count);
            let Some(next) = enumerate(&belief, true, 100_000) else { continue };
            let sum = next.values().sum::<f64>() + end_probability(&belief).0;
            assert!((sum - 1.0).abs() < 1e-9, "{sum} after {count} sentences of {text}");
            seen += 1;
        }
    }
    assert!(seen >= 20, "{seen} states were small enough");
}

#[test]
fn the_parser_gives_every_next_sentence_the_enumerated_probability() {
    let mut compared = 0;
    for index in 0..6 {
        let text = text(6, index);
        for count in 1..split_sentences(&text).len() {
            let belief = belief_after(&text, count);
            let Some(next) = enumerate(&belief, false, 20_000) else { continue };
            assert!((next.values().sum::<f64>() + end_probability(&belief).0 - 1.0).abs() < 1e-9);
            for (sentence, p) in next.iter().step_by(1 + next.len() / 40) {
                let read = SentenceParser::new(sentence, false).parse_sentence(&belief, 0..sentence.len());
                let q: f64 = read.iter().map(|(_, q)| q).sum();
                assert!((q / p - 1.0).abs() < 1e-9, "{sentence}: {q} parsed, {p} enumerated");
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn all_derivations_of_a_text_are_summed() {
    let mut ambiguous = 0;
    for index in 0..1500 {
        let (text, chosen) = generate(&mut Random::new(1, "story", 0, index));
        let exact = log_prob(&text).unwrap();
        assert!(exact.is_finite() && exact > chosen - 1e-9, "{exact} {chosen} {text}");
        if exact > chosen + 1e-6 {
            ambiguous += 1;
            assert!((exact - chosen) / 2f64.ln() < 4.0 && text.contains("idea"), "{exact} {chosen} {text}");
        }
        assert_eq!(story(1, index).log_prob, exact);
    }
    assert!((5..300).contains(&ambiguous), "{ambiguous}");
}

#[test]
fn an_ambiguous_pronoun_leaves_two_states() {
    let text = "Once there was a kind girl named Mia. She lived in a town near the old mill. She was a baker. Her best \
                friend was Anna, a farmer. At noon, Anna and Mia sat slowly by the fire. Then she had a new idea. \
                \"Let us dance,\" she said softly. ";
    let belief = belief_after(text.trim_end(), 7);
    assert_eq!(belief.len(), 2, "either woman may have had the idea");
    assert!(belief.iter().all(|(_, p)| (p - 0.5).abs() < 1e-12));
    let story = format!("{text}So they danced slowly until night.");
    assert_eq!(belief_after(&story, 8).len(), 1, "the owner of the idea is forgotten");
}

#[test]
fn every_kind_has_templates_and_every_state_a_next_kind() {
    assert_eq!(SentenceKind::all().count(), SentenceKind::End as usize - 1, "all except the start and the end");
    for template in SentenceKind::all().flat_map(templates_for) {
        assert!(template.probability > 0.0);
    }
    for index in 0..300 {
        let text = text(2, index);
        let mut kinds = NextKinds::new();
        for (state, _) in belief_after(&text, index as usize % 12) {
            next_kinds(&state, &mut kinds);
            assert!(!kinds.is_empty() && kinds.iter().all(|(_, weight)| *weight > 0.0), "{:?}", state.last_kind);
        }
    }
}
