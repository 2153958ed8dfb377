//! The named tensors among the objects of a pickle.

use super::{
    PickleError,
    object::{Object, ObjectId, PickledTensor},
    unpickler::Unpickled,
};
use std::collections::BTreeMap;

/// Keys under which training scripts save the weights, next to counters and the optimizer's state.
const STATE_DICT_KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// Maximum nesting of dictionaries.
const MAX_DEPTH: usize = 32;

/// Maximum length of a tensor's name in bytes.
const MAX_NAME_LEN: usize = 512;

/// Bytes of a name that cost as much of the budget as one object.
const NAME_BYTES_PER_UNIT: usize = 16;

/// Returns the tensors of a pickle's result by name. Other values are left out.
///
/// # Errors
/// If there are no tensors, two have the same name, or the names exceed the limits.
pub(super) fn named_tensors<'a>(unpickled: &Unpickled<'a>) -> Result<BTreeMap<String, PickledTensor<'a>>, PickleError> {
    let mut walk = TensorWalk { unpickled, budget: unpickled.length, tensors: BTreeMap::new() };
    walk.visit(find_state_dict(unpickled), "", 0)?;
    if walk.tensors.is_empty() {
        return Err(PickleError::not_torch_save("it contains no tensors"));
    }
    Ok(walk.tensors)
}

/// Follows [`STATE_DICT_KEYS`] from the result to the dictionary that has the weights.
fn find_state_dict(unpickled: &Unpickled) -> ObjectId {
    let mut dictionary = unpickled.root;
    for _ in 0..MAX_DEPTH {
        let inner = STATE_DICT_KEYS.iter().find_map(|key| inner_dictionary(unpickled, dictionary, key));
        match inner {
            Some(inner) => dictionary = inner,
            None => break,
        }
    }
    dictionary
}

/// The value of `key` in a dictionary, if that is a dictionary too.
fn inner_dictionary(unpickled: &Unpickled, dictionary: ObjectId, key: &str) -> Option<ObjectId> {
    let Object::Dict(pairs) = &unpickled.objects[dictionary.0] else { return None };
    let is_key = |id: ObjectId| matches!(unpickled.objects[id.0], Object::Str(text) if text == key);
    let (_, value) = pairs.iter().find(|(name, _)| is_key(*name))?;
    matches!(unpickled.objects[value.0], Object::Dict(_)).then_some(*value)
}

struct TensorWalk<'u, 'a> {
    unpickled: &'u Unpickled<'a>,
    /// Number of objects that may still be visited. A pickle cannot name more objects than it has bytes, unless it
    /// refers to one dictionary many times, which could make the walk exponentially long.
    budget: usize,
    tensors: BTreeMap<String, PickledTensor<'a>>,
}

impl<'a> TensorWalk<'_, 'a> {
    fn visit(&mut self, id: ObjectId, name: &str, depth: usize) -> Result<(), PickleError> {
        match &self.unpickled.objects[id.0] {
            Object::Tensor(tensor) => {
                self.spend(name.len() / NAME_BYTES_PER_UNIT)?;
                if self.tensors.insert(name.to_string(), (**tensor).clone()).is_some() {
                    return Err(PickleError::not_torch_save(format!("duplicate tensor `{name}`")));
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

    /// Visits the values of a dictionary, or with `None` for keys the items of a list, which are named by index.
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
        for (index, (key, value)) in pairs.enumerate() {
            if !self.may_have_tensors(value) {
                continue;
            }
            let key = match key.map(|key| &self.unpickled.objects[key.0]) {
                None => index.to_string(),
                Some(Object::Str(text)) if text.len() <= MAX_NAME_LEN => text.to_string(),
                Some(Object::Int(number)) => number.to_string(),
                _ => return Err(PickleError::not_torch_save("expected strings or integers as keys of tensors")),
            };
            let full_name = if name.is_empty() { key } else { format!("{name}.{key}") };
            self.visit(value, &full_name, depth + 1)?;
        }
        Ok(())
    }

    fn spend(&mut self, cost: usize) -> Result<(), PickleError> {
        self.budget = self.budget.checked_sub(cost).ok_or_else(unbounded_names)?;
        Ok(())
    }

    /// Whether an object is a tensor or may contain one.
    fn may_have_tensors(&self, id: ObjectId) -> bool {
        matches!(self.unpickled.objects[id.0], Object::Tensor(_) | Object::Dict(_) | Object::List(_) | Object::Tuple(_))
    }
}

fn unbounded_names() -> PickleError {
    let limits = format!(
        "dictionaries nest more than {MAX_DEPTH} deep, a name is longer than {MAX_NAME_LEN} bytes, or a dictionary occurs too often"
    );
    PickleError::not_torch_save(format!("too many or too long tensor names: {limits}"))
}
