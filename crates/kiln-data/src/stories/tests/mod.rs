mod corpus;
mod decisions;
mod exactness;
mod judging;
mod rejection;

use std::collections::HashMap;

use super::{
    act::Act,
    belief::{Belief, end, normalise},
    choice::{bind, options},
    grammar::{Line, sentences_of},
    plot::{Next, next},
    read::Reader,
    segment::sentences,
    slot::Part,
    state::State,
    surface::surface,
};

/// What may be once the first `count` sentences of `text` are told.
fn belief_after(text: &str, count: usize) -> Belief {
    let mut reader = Reader::new(text, false);
    sentences(text).into_iter().take(count).fold(vec![(State::start(), 1.0)], |belief, range| {
        let mut after = reader.sentence(&belief, range);
        normalise(&mut after);
        after
    })
}

/// Every next sentence with its probability, by brute force, apart from how the reader goes about it. Words of free
/// classes read `#` if `merged`; `None` beyond `most` derivations.
struct Enumeration {
    texts: HashMap<String, f64>,
    left: usize,
    merged: bool,
}

fn enumerate(belief: &Belief, merged: bool, most: usize) -> Option<HashMap<String, f64>> {
    let mut all = Enumeration { texts: HashMap::new(), left: most, merged };
    let mut acts = Next::new();
    for (state, p) in belief {
        next(state, &mut acts);
        let total: f64 = acts.iter().map(|(_, weight)| weight).sum();
        for (act, weight) in acts.iter().filter(|(act, _)| *act != Act::End) {
            for line in sentences_of(*act) {
                all.line(line, 0, state, String::new(), p * weight / total * line.probability)?;
            }
        }
    }
    Some(all.texts)
}

impl Enumeration {
    fn line(&mut self, line: &Line, i: usize, state: &State, text: String, p: f64) -> Option<()> {
        let Some(part) = line.parts.get(i) else {
            self.left = self.left.checked_sub(1)?;
            *self.texts.entry(text).or_default() += p;
            return Some(());
        };
        if self.merged && matches!(part, Part::Free(_)) {
            return self.line(line, i + 1, state, text + "#", p);
        }
        let choices = options(part, state);
        for &(value, weight) in choices.as_slice() {
            let mut state = *state;
            let pieces = surface(part, &state, value).into_iter().filter(|piece| !piece.is_empty());
            let longer = text.clone() + &pieces.collect::<Vec<_>>().join(" ");
            bind(part, &mut state, value);
            self.line(line, i + 1, &state, longer, p * weight / choices.total)?;
        }
        Some(())
    }
}
