//! The tensors of a file from a model's weights.

use super::family::Family;
use crate::{
    config::ModelConfig,
    names::{Mismatch, Values},
};
use std::collections::BTreeSet;

/// The tensors of a file in which the family keeps these weights (see [`values`](crate::values)), by name.
///
/// # Errors
/// If a parameter is missing, or has no name in the family: one that an adapter added, say.
pub fn disassemble(config: &ModelConfig, family: &Family, mut weights: Values) -> Result<Values, Mismatch> {
    let (mut tensors, mut mismatch, mut written) = (Values::new(), Mismatch::default(), BTreeSet::new());
    for tie in (family.names)(config) {
        match weights.remove(&tie.kiln) {
            Some(values) => {
                let tensor = tie.form.put(values, tensors.remove(&tie.file));
                tensors.insert(tie.file, tensor);
                written.insert(tie.kiln);
            }
            // Another name of a parameter that is written.
            None if written.contains(&tie.kiln) => {}
            None => mismatch.missing.push(tie.kiln),
        }
    }
    mismatch.unexpected = weights.into_keys().collect();
    if mismatch == Mismatch::default() { Ok(tensors) } else { Err(mismatch) }
}
