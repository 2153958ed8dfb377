//! Sentence parser: sums the probabilities of all derivations of a sentence.
//!
//! The parser matches each template that may come next against the text, slot by slot from left to right, and follows
//! every slot value whose text fits (depth-first search). Word boundaries keep the search narrow: usually one value fits.
//! The result is the belief after the sentence, unnormalized: its sum is the probability of the sentence given the text
//! before it.
//!
//! With a trace it also records *forks*, the places where another continuation was possible, from which
//! [`super::determined_tokens`] follows.

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

/// Additional results of parsing a sentence.
#[derive(Default)]
pub(crate) struct Trace {
    /// Whether the other fields are filled.
    pub enabled: bool,
    /// Byte positions where a derivation that matched so far expects other text, with that text.
    pub forks: Vec<(usize, &'static str)>,
    /// Byte ranges of the template parts of the most probable derivation.
    pub best_path: Vec<(Range<usize>, DependencyKind)>,
}

/// Depth-first search over the derivations of one sentence at a time.
pub(crate) struct SentenceParser<'t> {
    text: &'t [u8],
    /// End of the sentence that is parsed.
    end: usize,
    /// Whether states may lack values that the plot would have set: after inconsistent sentences. Such derivations are
    /// skipped instead of panicking.
    pub lenient: bool,
    pub trace: Trace,
    /// States after the complete derivations found so far, with joint probabilities.
    results: Belief,
    /// Parts of the current derivation.
    path: Vec<(Range<usize>, DependencyKind)>,
    best_probability: f64,
}

/// Position in the search: a template of a kind, and the next of its parts.
#[derive(Clone, Copy)]
struct TemplatePosition {
    kind: SentenceKind,
    template: &'static SentenceTemplate,
    part_index: usize,
}

impl<'t> SentenceParser<'t> {
    /// Creates a parser for the sentences of `text`. `trace` enables [`Trace`].
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

    /// Parses the sentence at `range`, given a belief over the states before it.
    ///
    /// Returns the states after it with joint probabilities, whose sum is the probability of the sentence. Empty if no
    /// derivation matches.
    pub fn parse_sentence(&mut self, belief: &Belief, range: Range<usize>) -> Belief {
        self.reset(range.end);
        let mut kinds = NextKinds::new();
        for (state, p) in belief {
            next_kinds(state, &mut kinds);
            let total: f64 = kinds.iter().map(|(_, weight)| weight).sum();
            for (kind, weight) in &kinds {
                self.try_kind(*kind, state, range.start, p * weight / total);
            }
        }
        merge_states(std::mem::take(&mut self.results))
    }

    /// Parses the sentence at `range` as any kind of sentence, each with weight 1: after a malformed sentence.
    pub fn parse_any_kind(&mut self, belief: &Belief, range: Range<usize>) -> Belief {
        self.reset(range.end);
        for (state, p) in belief {
            for kind in SentenceKind::all() {
                self.try_kind(kind, state, range.start, *p);
            }
        }
        merge_states(std::mem::take(&mut self.results))
    }

    /// Parses the sentence at `range` on its own, from the unconstrained state. Kinds that the belief expects are tried
    /// first. Returns the state after the first derivation that matches: it holds what the sentence states.
    pub fn parse_isolated(&mut self, belief: &Belief, range: Range<usize>) -> Option<StoryState> {
        self.reset(range.end);
        let mut expected = NextKinds::new();
        if let Some((state, _)) = belief.first() {
            next_kinds(state, &mut expected);
        }
        for kind in expected.into_iter().map(|(kind, _)| kind).chain(SentenceKind::all()) {
            self.try_kind(kind, &StoryState::unconstrained(), range.start, 1.0);
            if let Some((state, _)) = self.results.first() {
                return Some(*state);
            }
        }
        None
    }

    /// Clears the results of the previous sentence.
    fn reset(&mut self, end: usize) {
        self.end = end;
        self.best_probability = 0.0;
        self.results.clear();
        self.trace.forks.clear();
        self.trace.best_path.clear();
    }

    /// Matches all templates of a kind at byte `start`; `p` is the probability of the state and the kind.
    fn try_kind(&mut self, kind: SentenceKind, state: &StoryState, start: usize, p: f64) {
        for template in templates_for(kind) {
            let position = TemplatePosition { kind, template, part_index: 0 };
            self.match_from(position, state, start, p * template.probability);
        }
    }

    /// Matches the rest of a template from byte `start` on; `p` is the probability of the derivation so far.
    fn match_from(&mut self, position: TemplatePosition, state: &StoryState, start: usize, p: f64) {
        let Some(part) = position.template.parts.get(position.part_index) else {
            return self.finish(position.kind, state, start, p);
        };
        if state.is_unconstrained {
            let mut completed = Vec::new();
            unconstrained::expand_unset(part, state, &mut completed);
            for state in &completed {
                // One derivation is enough for an isolated sentence.
                if self.results.is_empty() {
                    self.match_part(position, state, start, p);
                }
            }
        } else if !self.lenient || unconstrained::is_ready(part, state) {
            self.match_part(position, state, start, p);
        }
    }

    /// Matches one part with each of its values.
    fn match_part(&mut self, position: TemplatePosition, state: &StoryState, start: usize, p: f64) {
        let part = &position.template.parts[position.part_index];
        if let TemplatePart::Text(text) = part {
            if let Some(end) = self.match_phrase(start, [text, ""]) {
                self.advance(position, state, start..end, p);
            }
            return;
        }
        let choices = choices_for(part, state);
        for &(value, weight) in choices.as_slice() {
            if let Some(end) = self.match_phrase(start, surface_form(part, state, value)) {
                let mut state = *state;
                apply_choice(part, &mut state, value);
                self.advance(position, &state, start..end, p * weight / choices.total_weight);
            }
        }
    }

    /// Continues after a part that matched the bytes `matched`.
    fn advance(&mut self, position: TemplatePosition, state: &StoryState, matched: Range<usize>, p: f64) {
        let end = matched.end;
        if self.trace.enabled {
            self.path.push((matched, position.template.parts[position.part_index].kind()));
        }
        self.match_from(TemplatePosition { part_index: position.part_index + 1, ..position }, state, end, p);
        self.path.pop();
    }

    /// Records a derivation whose parts all matched, if it covers the whole sentence.
    fn finish(&mut self, kind: SentenceKind, state: &StoryState, end: usize, p: f64) {
        if end < self.end {
            return self.record_fork(end, "the end of the sentence");
        }
        let mut state = *state;
        record_sentence(&mut state, kind);
        self.results.push((state, p));
        if self.trace.enabled && p > self.best_probability {
            self.best_probability = p;
            self.trace.best_path.clone_from(&self.path);
        }
    }

    /// End of a phrase in one or two pieces, separated by a space, if the text has it at byte `start`.
    fn match_phrase(&mut self, start: usize, [first, second]: [&'static str; 2]) -> Option<usize> {
        let end = self.match_literal(start, first)?;
        if second.is_empty() {
            return Some(end);
        }
        let end = self.match_literal(end, " ")?;
        self.match_literal(end, second)
    }

    /// End of a literal, if the text has it at byte `start`. A mismatch is a fork at the first different byte.
    fn match_literal(&mut self, start: usize, literal: &'static str) -> Option<usize> {
        let rest = &self.text[start..self.end];
        if rest.starts_with(literal.as_bytes()) {
            return Some(start + literal.len());
        }
        if self.trace.enabled {
            let common = rest.iter().zip(literal.as_bytes()).take_while(|(a, b)| a == b).count();
            self.record_fork(start + common, &literal[common..]);
        }
        None
    }

    /// Records that `other` was possible at byte `position`.
    fn record_fork(&mut self, position: usize, other: &'static str) {
        if self.trace.enabled {
            self.trace.forks.push((position, other));
        }
    }
}
