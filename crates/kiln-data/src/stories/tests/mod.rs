mod corpus;
mod decisions;
mod exactness;
mod judging;
mod rejection;

use std::collections::HashMap;

use super::{
    belief::{Belief, end_probability, normalize},
    choice::{apply_choice, choices_for},
    grammar::{SentenceTemplate, templates_for},
    parse::SentenceParser,
    plot::{NextKinds, next_kinds},
    segment::split_sentences,
    sentence_kind::SentenceKind,
    slot::TemplatePart,
    state::StoryState,
    surface::surface_form,
};

/// What may be once the first `count` sentences of `text` are told.
fn belief_after(text: &str, count: usize) -> Belief {
    let mut reader = SentenceParser::new(text, false);
    split_sentences(text).into_iter().take(count).fold(vec![(StoryState::initial(), 1.0)], |belief, range| {
        let mut after = reader.parse_sentence(&belief, range);
        normalize(&mut after);
        after
    })
}

/// Every next sentence with its probability, by brute force, apart from how the reader goes about it. Words of free
/// classes read `#` if `merged`; `None` beyond `most` derivations.
struct Enumeration {
    texts: HashMap<String, f64>,
    remaining: usize,
    merged: bool,
}

fn enumerate(belief: &Belief, merged: bool, most: usize) -> Option<HashMap<String, f64>> {
    let mut all = Enumeration { texts: HashMap::new(), remaining: most, merged };
    let mut acts = NextKinds::new();
    for (state, p) in belief {
        next_kinds(state, &mut acts);
        let total: f64 = acts.iter().map(|(_, weight)| weight).sum();
        for (act, weight) in acts.iter().filter(|(act, _)| *act != SentenceKind::End) {
            for line in templates_for(*act) {
                all.line(line, 0, state, String::new(), p * weight / total * line.probability)?;
            }
        }
    }
    Some(all.texts)
}

impl Enumeration {
    fn line(&mut self, line: &SentenceTemplate, i: usize, state: &StoryState, text: String, p: f64) -> Option<()> {
        let Some(part) = line.parts.get(i) else {
            self.remaining = self.remaining.checked_sub(1)?;
            *self.texts.entry(text).or_default() += p;
            return Some(());
        };
        if self.merged && matches!(part, TemplatePart::FreeWord(_)) {
            return self.line(line, i + 1, state, text + "#", p);
        }
        let choices = choices_for(part, state);
        for &(value, weight) in choices.as_slice() {
            let mut state = *state;
            let pieces = surface_form(part, &state, value).into_iter().filter(|piece| !piece.is_empty());
            let longer = text.clone() + &pieces.collect::<Vec<_>>().join(" ");
            apply_choice(part, &mut state, value);
            self.line(line, i + 1, &state, longer, p * weight / choices.total_weight)?;
        }
        Some(())
    }
}
