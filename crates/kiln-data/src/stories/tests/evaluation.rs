use super::*;
use crate::stories::{evaluate_text, text};

const OPENING: &str = "Once there was a kind girl named Mia. She lived in a town near the old mill. She was a baker. She \
                       had a red kite. Her best friend was Tom, a farmer. ";

fn counts(rest: &str) -> (usize, usize) {
    let evaluation = evaluate_text(&format!("{OPENING}{rest}"), true);
    let all = evaluation.sentences.len();
    (all - evaluation.num_well_formed(), all - evaluation.num_consistent())
}

#[test]
fn stories_are_complete_and_truncated_ones_are_not() {
    for index in 0..50 {
        let text = text(7, index);
        let whole = evaluate_text(&text, true);
        let ranges: Vec<_> = whole.sentences.iter().map(|sentence| sentence.range.clone()).collect();
        assert_eq!(ranges, split_sentences(&text));
        assert!(whole.complete && whole.sentences.iter().all(|sentence| sentence.consistent && sentence.well_formed));
        let cut = evaluate_text(&text[..text.len() - 3], false);
        let all = ranges.len() - 1;
        assert_eq!((cut.sentences.len(), cut.num_consistent(), cut.complete), (all, all, false));
    }
}

#[test]
fn sentences_outside_the_grammar_are_not_well_formed() {
    for (wrong, right) in [
        ("The ducks was hungry.", "The ducks were hungry."),
        ("It were cold and wet.", "It was cold and wet."),
        ("She put his red kite on a shelf and slept.", "She put her red kite on a shelf and slept."),
        ("Tom thanked Tom softly for the kite.", "Mia thanked Tom softly for the kite."),
        ("Tom had a orange kite.", "Tom had an orange kite."),
        ("Now only one cakes was left.", "Now only one cake was left."),
        ("Then Ben went home slowly to the river.", "Then Ben went home slowly to the castle."),
    ] {
        assert_eq!(counts(wrong), (1, 1), "{wrong}");
        assert_eq!(counts(right).0, 0, "{right}");
    }
}

#[test]
fn sentences_that_contradict_the_story_are_inconsistent() {
    assert_eq!(counts("Tom had a blue drum."), (0, 0));
    assert_eq!(counts("Ben had a blue drum."), (0, 1), "there is no Ben");
    assert_eq!(counts("At noon, Mia slowly gave her red kite to Tom."), (0, 0));
    assert_eq!(counts("At noon, Mia slowly gave her blue kite to Tom."), (0, 1), "the kite is red");
    assert_eq!(counts("At noon, Tom slowly gave his red kite to Mia."), (0, 1), "it is hers");
}

#[test]
fn an_error_costs_one_sentence() {
    let gift = "At noon, Mia slowly gave her red kite to Tom. ";
    assert_eq!(
        counts(&format!("{gift}Now the kite belonged to Mia, who was happy. Soon, Tom ran slowly to the lake.")),
        (0, 1)
    );
    assert_eq!(counts(&format!("{gift}Now kite the. Soon, Tom ran slowly to the lake.")), (1, 1));
    assert_eq!(counts("Ben had a blue drum. Soon, Ben lost his blue drum near the old mill."), (0, 1));
    assert_eq!(
        counts("Soon, Mia ran slowly to the lake. The ducks were hungry. Mia gave the ducks some good bread."),
        (0, 1)
    );
}

#[test]
fn evaluations_have_the_byte_ranges_of_their_sentences() {
    let text = format!("{OPENING}The ducks was hungry. Ben had a blue drum. Soon it");
    let evaluation = evaluate_text(&text, false);
    let last: Vec<_> =
        evaluation.sentences[5..].iter().map(|s| (&text[s.range.clone()], s.well_formed, s.consistent)).collect();
    assert_eq!(last, [("The ducks was hungry.", false, false), ("Ben had a blue drum.", true, false)]);
}
