//! `rank_pattern` of AdaLoRA: which of the singular values of each module the file has. The others are 0.
//!
//! A key is the name of a tensor without the beginning `base_model.model.` (`model.layers.0.self_attn.q_proj.lora_E`), a value
//! a list of one flag for each singular value. Kiln's parameters have all of them, so that they keep their shape.

use super::{base_modules::Target, fused::PartAdapter, method::Method};
use burn::tensor::TensorData;
use kiln_spec::ValidationError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The key of the masks.
const KEY: &str = "rank_pattern";

/// Which singular values of each module are in the file, by the module's name. A module without a mask has all.
#[derive(Clone, Debug, Default)]
pub(super) struct RankMasks(BTreeMap<String, Vec<bool>>);

impl RankMasks {
    /// Parses the value of `rank_pattern` for a method whose file leaves out what `pruned` is 0 at.
    ///
    /// # Errors
    /// If it is not an object of lists of flags, or a key is not the name of such a tensor.
    pub fn from_json(pruned: &str, value: Option<&Value>) -> Result<Self, ValidationError> {
        let empty = Map::new();
        let object = match value {
            None => &empty,
            Some(Value::Object(object)) => object,
            Some(other) => return Err(ValidationError::new(KEY, format!("expected an object, found {other}"))),
        };
        let mut masks = BTreeMap::new();
        for (name, value) in object {
            let flags = value.as_array().and_then(|list| list.iter().map(Value::as_bool).collect::<Option<Vec<_>>>());
            let Some(flags) = flags else {
                let reason = format!("`{name}`: expected a list of true and false, found {value}");
                return Err(ValidationError::new(KEY, reason));
            };
            let tensor = name.strip_suffix(".default").unwrap_or(name);
            let Some(module) = tensor.strip_suffix(pruned).and_then(|module| module.strip_suffix('.')) else {
                let reason = format!("expected names of tensors that end with `.{pruned}`, found `{name}`");
                return Err(ValidationError::new(KEY, reason));
            };
            masks.insert(module.to_owned(), flags);
        }
        Ok(Self(masks))
    }

    /// The mask of a module with `rank` singular values; `None` if the file has all.
    ///
    /// # Errors
    /// If the mask has another length.
    pub fn of(&self, module: &str, rank: usize) -> Result<Option<&[bool]>, ValidationError> {
        match self.0.get(module) {
            Some(mask) if mask.len() != rank => {
                let reason = format!("`{module}`: expected {rank} flags (init_r), found {}", mask.len());
                Err(ValidationError::new(KEY, reason))
            }
            mask => Ok(mask.map(Vec::as_slice)),
        }
    }

    /// The modules with a mask that are none of these.
    pub fn unmatched(&self, modules: &[&str]) -> Vec<&str> {
        self.0.keys().map(String::as_str).filter(|name| !modules.contains(name)).collect()
    }
}

/// The number of singular values that a mask keeps.
pub(super) fn kept_count(mask: &[bool]) -> usize {
    mask.iter().filter(|kept| **kept).count()
}

/// Leaves out the singular values that are 0, with their rows of the other tensors. Before training all are 0, and none is left
/// out.
pub(super) fn leave_out_zeros(method: &Method, adapters: &mut [(&Target, Vec<PartAdapter>)]) {
    let Some(pruned) = method.pruned else { return };
    let parts = || adapters.iter().flat_map(|(_, parts)| parts);
    if parts().all(|part| part.values[pruned].iter::<f32>().all(|value| value == 0.0)) {
        return;
    }
    for (target, parts) in adapters {
        for part in parts {
            let Some(mask) = mask_of_zeros(&part.values[pruned]) else { continue };
            let described = part.described(method, target);
            let lengths = target.lengths(described.rank);
            for row in described.tensors {
                let selected = row.axes.select_rank(&part.values[row.name], &mask, &lengths, &part.part.window());
                part.values.insert(row.name, selected);
            }
            part.mask = Some(mask);
        }
    }
}

/// The mask of singular values; `None` if none is 0.
fn mask_of_zeros(values: &TensorData) -> Option<Vec<bool>> {
    let mask: Vec<bool> = values.iter::<f32>().map(|value| value != 0.0).collect();
    mask.contains(&false).then_some(mask)
}

/// The `rank_pattern` of modules, each with its rank and its mask; `None` if no module has a mask.
pub(super) fn to_json<'a>(
    method: &Method,
    modules: impl Iterator<Item = (&'a str, usize, Option<&'a [bool]>)> + Clone,
) -> Option<(&'static str, Value)> {
    let pruned = method.pruned?;
    modules.clone().any(|(_, _, mask)| mask.is_some()).then(|| {
        // PEFT looks up every module once there is a pattern.
        let entries = modules.map(|(name, rank, mask)| {
            let flags = mask.map_or_else(|| vec![true; rank], <[bool]>::to_vec);
            (format!("{name}.{pruned}"), flags.into())
        });
        (KEY, Value::Object(entries.collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn masks(value: &Value) -> Result<RankMasks, ValidationError> {
        RankMasks::from_json("lora_E", Some(value))
    }

    #[test]
    fn a_mask_is_found_by_its_module() {
        let read = masks(&json!({ "m.q.lora_E": [true, false], "m.v.lora_E.default": [false, false] })).unwrap();
        assert_eq!(read.of("m.q", 2).unwrap(), Some(&[true, false][..]));
        assert_eq!(read.of("m.v", 2).unwrap().map(kept_count), Some(0));
        assert_eq!(read.of("m.k", 2).unwrap(), None);
        assert_eq!(read.unmatched(&["m.q"]), ["m.v"]);
        let error = read.of("m.q", 3).unwrap_err();
        assert!(error.path == "rank_pattern" && error.reason.contains("`m.q`"), "{error}");
    }

    #[test]
    fn other_values_are_refused() {
        for value in [json!([]), json!({ "m.q.lora_E": 3 }), json!({ "m.q.lora_E": [1] }), json!({ "m.q": [true] })] {
            assert_eq!(masks(&value).unwrap_err().path, "rank_pattern", "{value}");
        }
    }

    #[test]
    fn values_of_zero_are_left_out() {
        let mask = |values: [f32; 3]| mask_of_zeros(&TensorData::new(values.to_vec(), [3]));
        assert_eq!(mask([0.0; 3]), Some(vec![false; 3]));
        assert_eq!(mask([1.0; 3]), None);
        assert_eq!(mask([0.0, -2.0, 0.0]), Some(vec![false, true, false]));
    }
}
