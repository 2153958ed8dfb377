//! Named tensors among what a pickle holds.

use super::{
    PickleError,
    object::{Object, ObjectId, PickledTensor},
    unpickler::Unpickled,
};
use std::collections::BTreeMap;

/// Under which keys training scripts put the weights, beside counters and the optimiser's state.
const STATE_DICT_KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// How deep dictionaries may nest.
const MAX_DEPTH: usize = 32;

/// How long a name may be, in bytes.
const MAX_NAME_LEN: usize = 512;

/// How many letters of names cost as much as a value.
const LETTERS_PER_VISIT: usize = 16;

/// The tensors of the result by name; what isn't a tensor is left out.
pub(super) fn named_tensors<'a>(ran: &Unpickled<'a>) -> Result<BTreeMap<String, PickledTensor<'a>>, PickleError> {
    let mut walk = TensorWalk { unpickled: ran, budget: ran.length, found: BTreeMap::new() };
    walk.visit(find_state_dict(ran), "", 0)?;
    if walk.found.is_empty() {
        return Err(PickleError::not_torch_save("there is no tensor in it"));
    }
    Ok(walk.found)
}

/// The dictionary that holds the weights.
fn find_state_dict(ran: &Unpickled) -> ObjectId {
    let mut at = ran.root;
    for _ in 0..MAX_DEPTH {
        let Object::Dict(pairs) = &ran.objects[at.0] else { break };
        let under = |&word: &&str| {
            let named = |id: &ObjectId| matches!(ran.objects[id.0], Object::Str(text) if text == word);
            let value = pairs.iter().find(|(key, _)| named(key))?.1;
            matches!(ran.objects[value.0], Object::Dict(_)).then_some(value)
        };
        let Some(below) = STATE_DICT_KEYS.iter().find_map(under) else { break };
        at = below;
    }
    at
}

struct TensorWalk<'r, 'a> {
    unpickled: &'r Unpickled<'a>,
    /// How many more values may be looked at: a pickle can't name more than it has bytes, unless it names a dictionary
    /// in several places, which could take for ever.
    budget: usize,
    found: BTreeMap<String, PickledTensor<'a>>,
}

impl<'a> TensorWalk<'_, 'a> {
    fn visit(&mut self, id: ObjectId, name: &str, depth: usize) -> Result<(), PickleError> {
        let ran = self.unpickled;
        match &ran.objects[id.0] {
            Object::Tensor(tensor) => {
                self.spend(name.len() / LETTERS_PER_VISIT)?;
                if self.found.insert(name.to_string(), (**tensor).clone()).is_some() {
                    return Err(PickleError::not_torch_save(format!("it names `{name}` twice")));
                }
                Ok(())
            }
            Object::Dict(pairs) => {
                self.visit_children(pairs.iter().map(|&(key, value)| (Some(key), value)), name, depth)
            }
            Object::List(items) | Object::Tuple(items) => {
                self.visit_children(items.iter().map(|&value| (None, value)), name, depth)
            }
            _ => Ok(()),
        }
    }

    fn visit_children(
        &mut self,
        pairs: impl ExactSizeIterator<Item = (Option<ObjectId>, ObjectId)>,
        name: &str,
        depth: usize,
    ) -> Result<(), PickleError> {
        if depth > MAX_DEPTH || name.len() > MAX_NAME_LEN {
            return Err(unbounded_names());
        }
        self.spend(pairs.len())?;
        for (i, (key, value)) in pairs.enumerate() {
            if self.may_hold_tensors(value) {
                let key = match key.map(|key| &self.unpickled.objects[key.0]) {
                    None => i.to_string(),
                    Some(Object::Str(text)) if text.len() <= MAX_NAME_LEN => text.to_string(),
                    Some(Object::Int(whole)) => whole.to_string(),
                    _ => return Err(PickleError::not_torch_save("it has a tensor under a key that is no name")),
                };
                self.visit(value, &join_name(name, &key), depth + 1)?;
            }
        }
        Ok(())
    }

    fn spend(&mut self, cost: usize) -> Result<(), PickleError> {
        self.budget = self.budget.checked_sub(cost).ok_or_else(unbounded_names)?;
        Ok(())
    }

    /// Whether something may be a tensor or hold one.
    fn may_hold_tensors(&self, id: ObjectId) -> bool {
        matches!(self.unpickled.objects[id.0], Object::Tensor(_) | Object::Dict(_) | Object::List(_) | Object::Tuple(_))
    }
}

fn unbounded_names() -> PickleError {
    let limits =
        format!("more than {MAX_DEPTH} dictionaries deep, {MAX_NAME_LEN} bytes long, or the same again and again");
    PickleError::not_torch_save(format!("its names are without end: {limits}"))
}

fn join_name(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_string() } else { format!("{name}.{key}") }
}
