//! The tokens of a call and all that they may look at, with what is derived from them once.

use super::marks::{Marks, evaluate};
use burn::tensor::Tensor;
use kiln_kernels::attention::{
    Sight,
    sight::{Dense, TILE},
};
use kiln_spec::{
    Formula, Pattern,
    formula::Field,
    plan::{Keep, Tiles},
};
use std::collections::HashMap;

/// Which keys a layer looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keys {
    /// Those of this stream: what was kept from earlier calls, then this call's.
    Own(Keep),
    /// Those of the memory (an encoder's output).
    Memory,
}

/// cos and sin of a rotary embedding, `[B, 1, T, pairs]` each.
pub type Turns = (Tensor<4>, Tensor<4>);

/// Tokens of this call, keys kept from earlier ones, and what follows from both: made at most once a call.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Marks of this call's tokens.
    pub now: Marks,
    /// Marks of the kept keys, by policy. A policy that isn't there has kept nothing.
    past: HashMap<Keep, Marks>,
    keys: HashMap<Keep, Marks>,
    sights: HashMap<(Pattern, Keys), Sight>,
    turns: HashMap<Vec<u32>, Turns>,
}

impl Stream {
    /// A stream that goes on after `past`.
    pub fn new(now: Marks, past: HashMap<Keep, Marks>) -> Self {
        Self { now, past, keys: HashMap::new(), sights: HashMap::new(), turns: HashMap::new() }
    }

    /// Marks of the keys that a layer with this policy looks at in this call.
    pub fn keys(&mut self, keep: Keep) -> &Marks {
        let (past, now) = (&self.past, &self.now);
        self.keys.entry(keep).or_insert_with(|| past.get(&keep).map_or_else(|| now.clone(), |past| past.then(now)))
    }

    /// Who of this call sees which keys: one for each pattern, read as far as kernels ask.
    pub fn sight(&mut self, pattern: &Pattern, keys: Keys, memory: Option<&Marks>) -> Sight {
        let name = (pattern.clone(), keys);
        if let Some(sight) = self.sights.get(&name) {
            return sight.clone();
        }
        let sight = match (keys, memory) {
            (Keys::Memory, memory) => joined(pattern.visible_across(), &self.now, memory.unwrap_or(&self.now), false),
            (Keys::Own(keep), _) => {
                let all = self.keys(keep).clone();
                let causal = is_causal(pattern, &self.now, &all);
                let mut sight = joined(pattern.visible(), &self.now, &all, true);
                sight.causal = causal;
                sight
            }
        };
        self.sights.insert(name, sight.clone());
        sight
    }

    /// cos and sin of `position · frequency` for this call's tokens.
    pub fn turns(&mut self, frequencies: &[f32], factor: f64) -> Turns {
        let mut name: Vec<u32> = frequencies.iter().map(|f| f.to_bits()).collect();
        name.push((factor as f32).to_bits());
        let positions = self.now.field(Field::Position);
        let make = || {
            let [b, t] = positions.dims();
            let rates =
                Tensor::<1>::from_floats(frequencies, &positions.device()).reshape([1, 1, 1, frequencies.len()]);
            let angles = positions.clone().float().reshape([b, 1, t, 1]) * rates;
            (angles.clone().cos() * factor, angles.sin() * factor)
        };
        self.turns.entry(name).or_insert_with(make).clone()
    }

    /// What each policy keeps for the next call. Rows of unequal length keep everything: counted from the end, a
    /// short row's padding would push its tokens out.
    pub(super) fn kept(&self) -> HashMap<Keep, Marks> {
        let kept = |(keep, marks): (&Keep, &Marks)| (*keep, marks.within(ends(*keep, marks)));
        self.keys.iter().map(kept).collect()
    }
}

/// How many of these keys a policy keeps, from the beginning and from the end.
pub fn ends(keep: Keep, keys: &Marks) -> [usize; 2] {
    let [_, length] = keys.dims();
    if keys.is_full() { keep.split(length) } else { [0, length] }
}

/// `own` says that the last keys are the queries themselves; across two streams no token is its own key, and one whose
/// document isn't there sees nothing.
fn joined(formula: Formula, now: &Marks, keys: &Marks, own: bool) -> Sight {
    let positions = [now, keys].map(|marks| marks.field(Field::Position).clone());
    let (dense, queries, others) = (formula.clone(), now.clone(), keys.clone());
    let sight = Sight::new(move || read(&dense, &queries, &others, own));
    let mut sight = match now.shared().zip(keys.shared()) {
        Some((now, keys)) => sight
            .with_tiles(move || (0..now.rows()).map(|r| Tiles::new(&formula, now.row(r), keys.row(r), TILE)).collect()),
        None => sight,
    };
    sight.positions = Some(positions);
    sight
}

/// The dense reading.
fn read(formula: &Formula, now: &Marks, keys: &Marks, own: bool) -> Dense {
    let visible = evaluate(formula, now, keys);
    let [b, t, _] = visible.dims();
    let sees_itself = |layout: &kiln_spec::Layout| layout.marks().iter().all(|m| formula.holds(m, m));
    let every = own && now.host().is_some_and(sees_itself);
    let sighted = (!every).then(|| visible.clone().int().max_dim(2).float().reshape([b, 1, t, 1]));
    Dense { mask: visible.bool_not().unsqueeze_dim(1), sighted }
}

/// Whether "causal, aligned at the end" says all there is to say: one document a row, no padding, nothing dropped.
fn is_causal(pattern: &Pattern, now: &Marks, keys: &Marks) -> bool {
    let plain = matches!(pattern, Pattern::Global(_)) && now.dims()[1] <= keys.dims()[1];
    plain && keys.host().is_some_and(kiln_spec::plan::is_plain_causal)
}
