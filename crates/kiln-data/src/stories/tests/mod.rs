mod corpus;
mod determined_tokens;
mod evaluation;
mod exactness;
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

/// Belief after the first `count` sentences of `text`.
fn belief_after(text: &str, count: usize) -> Belief {
    let mut parser = SentenceParser::new(text, false);
    split_sentences(text).into_iter().take(count).fold(vec![(StoryState::initial(), 1.0)], |belief, range| {
        let mut after = parser.parse_sentence(&belief, range);
        normalize(&mut after);
        after
    })
}

/// Brute-force enumeration of the next sentences, independent of the parser.
struct Enumeration {
    /// Sentences with their probabilities.
    texts: HashMap<String, f64>,
    /// Derivations left before the enumeration gives up.
    remaining: usize,
    /// Whether all words of a free class are written as `#`.
    merged: bool,
}

/// All next sentences with their probabilities; `None` if there are more than `max_derivations`.
fn enumerate(belief: &Belief, merged: bool, max_derivations: usize) -> Option<HashMap<String, f64>> {
    let mut all = Enumeration { texts: HashMap::new(), remaining: max_derivations, merged };
    let mut kinds = NextKinds::new();
    for (state, p) in belief {
        next_kinds(state, &mut kinds);
        let total: f64 = kinds.iter().map(|(_, weight)| weight).sum();
        for (kind, weight) in kinds.iter().filter(|(kind, _)| *kind != SentenceKind::End) {
            for template in templates_for(*kind) {
                all.add_from(template, 0, state, String::new(), p * weight / total * template.probability)?;
            }
        }
    }
    Some(all.texts)
}

impl Enumeration {
    /// Adds all sentences of a template from part `i` on.
    fn add_from(
        &mut self,
        template: &SentenceTemplate,
        i: usize,
        state: &StoryState,
        text: String,
        p: f64,
    ) -> Option<()> {
        let Some(part) = template.parts.get(i) else {
            self.remaining = self.remaining.checked_sub(1)?;
            *self.texts.entry(text).or_default() += p;
            return Some(());
        };
        if self.merged && matches!(part, TemplatePart::FreeWord(_)) {
            return self.add_from(template, i + 1, state, text + "#", p);
        }
        let choices = choices_for(part, state);
        for &(value, weight) in choices.as_slice() {
            let mut state = *state;
            let pieces = surface_form(part, &state, value).into_iter().filter(|piece| !piece.is_empty());
            let longer = text.clone() + &pieces.collect::<Vec<_>>().join(" ");
            apply_choice(part, &mut state, value);
            self.add_from(template, i + 1, &state, longer, p * weight / choices.total_weight)?;
        }
        Some(())
    }
}
