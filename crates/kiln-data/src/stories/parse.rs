//! Reading: every derivation of a sentence that fits the text, summed.

use std::ops::Range;

use super::{
    DependencyKind,
    belief::{Belief, merge_states},
    choice::{apply_choice, choices_for},
    grammar::{SentenceTemplate, templates_for},
    plot::{NextKinds, next_kinds, record_sentence},
    sentence_kind::SentenceKind,
    slot::TemplatePart,
    state::StoryState,
    surface::surface_form,
    unconstrained,
};

/// What reading saw besides the result.
#[derive(Default)]
pub(crate) struct Trace {
    /// Whether to fill the rest.
    pub enabled: bool,
    /// Where a derivation that fitted so far went on differently, and with what.
    pub forks: Vec<(usize, &'static str)>,
    /// The pieces of the likeliest derivation.
    pub best_path: Vec<(Range<usize>, DependencyKind)>,
}

/// A walk over the derivations of one sentence.
pub(crate) struct SentenceParser<'t> {
    text: &'t [u8],
    end: usize,
    /// Whether states may lack what the plot would have set.
    pub lenient: bool,
    pub trace: Trace,
    results: Belief,
    path: Vec<(Range<usize>, DependencyKind)>,
    best_probability: f64,
}

impl<'t> SentenceParser<'t> {
    /// Reads sentences of `text`; `trace` asks for forks and pieces.
    pub fn new(text: &'t str, trace: bool) -> Self {
        let trace = Trace { enabled: trace, ..Trace::default() };
        Self {
            text: text.as_bytes(),
            end: 0,
            lenient: false,
            trace,
            results: Vec::new(),
            path: Vec::new(),
            best_probability: 0.0,
        }
    }

    /// The states after the sentence at `range` (empty if none fits), with joint probabilities that sum to the
    /// sentence's probability.
    pub fn parse_sentence(&mut self, belief: &Belief, range: Range<usize>) -> Belief {
        self.reset(range.end);
        let mut acts = NextKinds::new();
        for (state, p) in belief {
            next_kinds(state, &mut acts);
            let total: f64 = acts.iter().map(|(_, weight)| weight).sum();
            for (act, weight) in &acts {
                self.try_kind(*act, state, range.start, p * weight / total);
            }
        }
        merge_states(std::mem::take(&mut self.results))
    }

    /// The same where any act may come next.
    pub fn parse_any_kind(&mut self, belief: &Belief, range: Range<usize>) -> Belief {
        self.reset(range.end);
        for (state, p) in belief {
            for act in SentenceKind::all() {
                self.try_kind(act, state, range.start, *p);
            }
        }
        merge_states(std::mem::take(&mut self.results))
    }

    /// A state after the sentence on its own, read as one of the acts that `belief` expects if it can be.
    pub fn parse_isolated(&mut self, belief: &Belief, range: Range<usize>) -> Option<StoryState> {
        self.reset(range.end);
        let mut expected = NextKinds::new();
        if let Some((state, _)) = belief.first() {
            next_kinds(state, &mut expected);
        }
        for act in expected.into_iter().map(|(act, _)| act).chain(SentenceKind::all()) {
            self.try_kind(act, &StoryState::unconstrained(), range.start, 1.0);
            if let Some((state, _)) = self.results.first() {
                return Some(*state);
            }
        }
        None
    }

    fn reset(&mut self, end: usize) {
        self.end = end;
        self.best_probability = 0.0;
        self.results.clear();
        self.trace.forks.clear();
        self.trace.best_path.clear();
    }

    fn try_kind(&mut self, act: SentenceKind, state: &StoryState, at: usize, p: f64) {
        for line in templates_for(act) {
            self.match_from(act, line, 0, state, at, p * line.probability);
        }
    }

    fn match_from(
        &mut self,
        act: SentenceKind,
        line: &SentenceTemplate,
        i: usize,
        state: &StoryState,
        at: usize,
        p: f64,
    ) {
        let Some(part) = line.parts.get(i) else {
            return self.finish(act, state, at, p);
        };
        if state.is_unconstrained {
            let mut completed = Vec::new();
            unconstrained::expand_unset(part, state, &mut completed);
            for state in &completed {
                if self.results.is_empty() {
                    self.match_part(act, line, i, state, at, p);
                }
            }
        } else if !self.lenient || unconstrained::is_ready(part, state) {
            self.match_part(act, line, i, state, at, p);
        }
    }

    fn match_part(
        &mut self,
        act: SentenceKind,
        line: &SentenceTemplate,
        i: usize,
        state: &StoryState,
        at: usize,
        p: f64,
    ) {
        let part = &line.parts[i];
        if let TemplatePart::Text(text) = part {
            if let Some(after) = self.match_phrase(at, [text, ""]) {
                self.advance(act, line, i, state, at..after, p);
            }
            return;
        }
        let choices = choices_for(part, state);
        for &(value, weight) in choices.as_slice() {
            if let Some(after) = self.match_phrase(at, surface_form(part, state, value)) {
                let mut state = *state;
                apply_choice(part, &mut state, value);
                self.advance(act, line, i, &state, at..after, p * weight / choices.total_weight);
            }
        }
    }

    fn advance(
        &mut self,
        act: SentenceKind,
        line: &SentenceTemplate,
        i: usize,
        state: &StoryState,
        piece: Range<usize>,
        p: f64,
    ) {
        let after = piece.end;
        if self.trace.enabled {
            self.path.push((piece, line.parts[i].kind()));
        }
        self.match_from(act, line, i + 1, state, after, p);
        self.path.pop();
    }

    fn finish(&mut self, act: SentenceKind, state: &StoryState, at: usize, p: f64) {
        if at < self.end {
            return self.record_fork(at, "the end of the sentence");
        }
        let mut state = *state;
        record_sentence(&mut state, act);
        self.results.push((state, p));
        if self.trace.enabled && p > self.best_probability {
            self.best_probability = p;
            self.trace.best_path.clone_from(&self.path);
        }
    }

    /// The place after `pieces`, if the text has them at `at`.
    fn match_phrase(&mut self, at: usize, pieces: [&'static str; 2]) -> Option<usize> {
        let after = self.match_literal(at, pieces[0])?;
        if pieces[1].is_empty() {
            return Some(after);
        }
        let after = self.match_literal(after, " ")?;
        self.match_literal(after, pieces[1])
    }

    fn match_literal(&mut self, at: usize, piece: &'static str) -> Option<usize> {
        let rest = &self.text[at..self.end];
        if rest.starts_with(piece.as_bytes()) {
            return Some(at + piece.len());
        }
        if self.trace.enabled {
            let same = rest.iter().zip(piece.as_bytes()).take_while(|(a, b)| a == b).count();
            self.record_fork(at + same, &piece[same..]);
        }
        None
    }

    fn record_fork(&mut self, at: usize, other: &'static str) {
        if self.trace.enabled {
            self.trace.forks.push((at, other));
        }
    }
}
