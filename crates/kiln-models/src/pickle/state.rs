//! Named tensors among what a pickle holds.

use super::{
    PickleError,
    machine::Ran,
    object::{Id, Object, Tensor},
};
use std::collections::BTreeMap;

/// Under which keys training scripts put the weights, beside counters and the optimiser's state.
const WEIGHTS: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// How deep dictionaries may nest.
const DEPTH: usize = 32;

/// How long a name may be, in bytes.
const NAME: usize = 512;

/// How many letters of names cost as much as a value.
const LETTERS: usize = 16;

/// The tensors of the result by name; what isn't a tensor is left out.
pub(super) fn tensors<'a>(ran: &Ran<'a>) -> Result<BTreeMap<String, Tensor<'a>>, PickleError> {
    let mut walk = Walk { ran, left: ran.length, found: BTreeMap::new() };
    walk.visit(weights(ran), "", 0)?;
    if walk.found.is_empty() {
        return Err(PickleError::form("there is no tensor in it"));
    }
    Ok(walk.found)
}

/// The dictionary that holds the weights.
fn weights(ran: &Ran) -> Id {
    let mut at = ran.root;
    for _ in 0..DEPTH {
        let Object::Dict(pairs) = &ran.objects[at.0] else { break };
        let under = |&word: &&str| {
            let named = |id: &Id| matches!(ran.objects[id.0], Object::Text(text) if text == word);
            let value = pairs.iter().find(|(key, _)| named(key))?.1;
            matches!(ran.objects[value.0], Object::Dict(_)).then_some(value)
        };
        let Some(below) = WEIGHTS.iter().find_map(under) else { break };
        at = below;
    }
    at
}

struct Walk<'r, 'a> {
    ran: &'r Ran<'a>,
    /// How many more values may be looked at: a pickle can't name more than it has bytes, unless it names a dictionary
    /// in several places, which could take for ever.
    left: usize,
    found: BTreeMap<String, Tensor<'a>>,
}

impl<'a> Walk<'_, 'a> {
    fn visit(&mut self, id: Id, name: &str, depth: usize) -> Result<(), PickleError> {
        let ran = self.ran;
        match &ran.objects[id.0] {
            Object::Tensor(tensor) => {
                self.spend(name.len() / LETTERS)?;
                if self.found.insert(name.to_string(), (**tensor).clone()).is_some() {
                    return Err(PickleError::form(format!("it names `{name}` twice")));
                }
                Ok(())
            }
            Object::Dict(pairs) => self.children(pairs.iter().map(|&(key, value)| (Some(key), value)), name, depth),
            Object::List(items) | Object::Tuple(items) => {
                self.children(items.iter().map(|&value| (None, value)), name, depth)
            }
            _ => Ok(()),
        }
    }

    fn children(
        &mut self,
        pairs: impl ExactSizeIterator<Item = (Option<Id>, Id)>,
        name: &str,
        depth: usize,
    ) -> Result<(), PickleError> {
        if depth > DEPTH || name.len() > NAME {
            return Err(endless());
        }
        self.spend(pairs.len())?;
        for (i, (key, value)) in pairs.enumerate() {
            if self.holds(value) {
                let key = match key.map(|key| &self.ran.objects[key.0]) {
                    None => i.to_string(),
                    Some(Object::Text(text)) if text.len() <= NAME => text.to_string(),
                    Some(Object::Whole(whole)) => whole.to_string(),
                    _ => return Err(PickleError::form("it has a tensor under a key that is no name")),
                };
                self.visit(value, &joined(name, &key), depth + 1)?;
            }
        }
        Ok(())
    }

    fn spend(&mut self, cost: usize) -> Result<(), PickleError> {
        self.left = self.left.checked_sub(cost).ok_or_else(endless)?;
        Ok(())
    }

    /// Whether something may be a tensor or hold one.
    fn holds(&self, id: Id) -> bool {
        matches!(self.ran.objects[id.0], Object::Tensor(_) | Object::Dict(_) | Object::List(_) | Object::Tuple(_))
    }
}

fn endless() -> PickleError {
    let limits = format!("more than {DEPTH} dictionaries deep, {NAME} bytes long, or the same again and again");
    PickleError::form(format!("its names are without end: {limits}"))
}

fn joined(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_string() } else { format!("{name}.{key}") }
}
