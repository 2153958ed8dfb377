//! Reading: every derivation of a sentence that fits the text, summed.

use std::ops::Range;

use super::{
    Kind,
    act::Act,
    belief::{Belief, merge},
    choice::{bind, options},
    grammar::{Line, sentences_of},
    open,
    plot::{Next, next, tell},
    slot::Part,
    state::State,
    surface::surface,
};

/// What reading saw besides the result.
#[derive(Default)]
pub(crate) struct Trace {
    /// Whether to fill the rest.
    pub on: bool,
    /// Where a derivation that fitted so far went on differently, and with what.
    pub forks: Vec<(usize, &'static str)>,
    /// The pieces of the likeliest derivation.
    pub pieces: Vec<(Range<usize>, Kind)>,
}

/// A walk over the derivations of one sentence.
pub(crate) struct Reader<'t> {
    text: &'t [u8],
    end: usize,
    /// Whether states may lack what the plot would have set.
    pub broken: bool,
    pub trace: Trace,
    found: Belief,
    path: Vec<(Range<usize>, Kind)>,
    best: f64,
}

impl<'t> Reader<'t> {
    /// Reads sentences of `text`; `trace` asks for forks and pieces.
    pub fn new(text: &'t str, trace: bool) -> Self {
        let trace = Trace { on: trace, ..Trace::default() };
        Self { text: text.as_bytes(), end: 0, broken: false, trace, found: Vec::new(), path: Vec::new(), best: 0.0 }
    }

    /// The states after the sentence at `range` (empty if none fits), with joint probabilities that sum to the
    /// sentence's probability.
    pub fn sentence(&mut self, belief: &Belief, range: Range<usize>) -> Belief {
        self.begin(range.end);
        let mut acts = Next::new();
        for (state, p) in belief {
            next(state, &mut acts);
            let total: f64 = acts.iter().map(|(_, weight)| weight).sum();
            for (act, weight) in &acts {
                self.act(*act, state, range.start, p * weight / total);
            }
        }
        merge(std::mem::take(&mut self.found))
    }

    /// The same where any act may come next.
    pub fn anything(&mut self, belief: &Belief, range: Range<usize>) -> Belief {
        self.begin(range.end);
        for (state, p) in belief {
            for act in Act::all() {
                self.act(act, state, range.start, *p);
            }
        }
        merge(std::mem::take(&mut self.found))
    }

    /// A state after the sentence on its own, read as one of the acts that `belief` expects if it can be.
    pub fn alone(&mut self, belief: &Belief, range: Range<usize>) -> Option<State> {
        self.begin(range.end);
        let mut expected = Next::new();
        if let Some((state, _)) = belief.first() {
            next(state, &mut expected);
        }
        for act in expected.into_iter().map(|(act, _)| act).chain(Act::all()) {
            self.act(act, &State::open(), range.start, 1.0);
            if let Some((state, _)) = self.found.first() {
                return Some(*state);
            }
        }
        None
    }

    fn begin(&mut self, end: usize) {
        self.end = end;
        self.best = 0.0;
        self.found.clear();
        self.trace.forks.clear();
        self.trace.pieces.clear();
    }

    fn act(&mut self, act: Act, state: &State, at: usize, p: f64) {
        for line in sentences_of(act) {
            self.walk(act, line, 0, state, at, p * line.probability);
        }
    }

    fn walk(&mut self, act: Act, line: &Line, i: usize, state: &State, at: usize, p: f64) {
        let Some(part) = line.parts.get(i) else {
            return self.arrive(act, state, at, p);
        };
        if state.open {
            let mut completed = Vec::new();
            open::complete(part, state, &mut completed);
            for state in &completed {
                if self.found.is_empty() {
                    self.slot(act, line, i, state, at, p);
                }
            }
        } else if !self.broken || open::ready(part, state) {
            self.slot(act, line, i, state, at, p);
        }
    }

    fn slot(&mut self, act: Act, line: &Line, i: usize, state: &State, at: usize, p: f64) {
        let part = &line.parts[i];
        if let Part::Text(text) = part {
            if let Some(after) = self.eat(at, [text, ""]) {
                self.step(act, line, i, state, at..after, p);
            }
            return;
        }
        let choices = options(part, state);
        for &(value, weight) in choices.as_slice() {
            if let Some(after) = self.eat(at, surface(part, state, value)) {
                let mut state = *state;
                bind(part, &mut state, value);
                self.step(act, line, i, &state, at..after, p * weight / choices.total);
            }
        }
    }

    fn step(&mut self, act: Act, line: &Line, i: usize, state: &State, piece: Range<usize>, p: f64) {
        let after = piece.end;
        if self.trace.on {
            self.path.push((piece, line.parts[i].kind()));
        }
        self.walk(act, line, i + 1, state, after, p);
        self.path.pop();
    }

    fn arrive(&mut self, act: Act, state: &State, at: usize, p: f64) {
        if at < self.end {
            return self.fork(at, "the end of the sentence");
        }
        let mut state = *state;
        tell(&mut state, act);
        self.found.push((state, p));
        if self.trace.on && p > self.best {
            self.best = p;
            self.trace.pieces.clone_from(&self.path);
        }
    }

    /// The place after `pieces`, if the text has them at `at`.
    fn eat(&mut self, at: usize, pieces: [&'static str; 2]) -> Option<usize> {
        let after = self.piece(at, pieces[0])?;
        if pieces[1].is_empty() {
            return Some(after);
        }
        let after = self.piece(after, " ")?;
        self.piece(after, pieces[1])
    }

    fn piece(&mut self, at: usize, piece: &'static str) -> Option<usize> {
        let rest = &self.text[at..self.end];
        if rest.starts_with(piece.as_bytes()) {
            return Some(at + piece.len());
        }
        if self.trace.on {
            let same = rest.iter().zip(piece.as_bytes()).take_while(|(a, b)| a == b).count();
            self.fork(at + same, &piece[same..]);
        }
        None
    }

    fn fork(&mut self, at: usize, other: &'static str) {
        if self.trace.on {
            self.trace.forks.push((at, other));
        }
    }
}
