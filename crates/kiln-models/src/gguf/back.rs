//! What a file that is yet to be written will be read as.

use super::{Metadata, Planned, read};
use crate::{
    hf::{self, family::apart},
    tensors::{Entry, TensorError, Tensors},
};
use burn::tensor::TensorData;
use kiln_nn::position::PositionConfig;
use kiln_spec::Refusal;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Names and shapes of tensors, and the one whose numbers say something of the model.
struct Outline<'a> {
    entries: BTreeMap<String, Entry>,
    divisors: &'a [f32],
}

impl Tensors for Outline<'_> {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    fn read(&self, _name: &str) -> Result<TensorData, TensorError> {
        Ok(TensorData::from(self.divisors))
    }
}

/// Refuses a model that would be read as another.
pub(super) fn check(
    config_json: &Json,
    metadata: &Metadata,
    planned: &[Planned],
    divisors: Option<&[f32]>,
) -> Result<(), Refusal> {
    let entry = |plan: &Planned| (plan.name.clone(), Entry::floats(plan.shape.clone()));
    let outline = Outline { entries: planned.iter().map(entry).collect(), divisors: divisors.unwrap_or_default() };
    let (_, found) = hf::read(&read(metadata, &outline)?.0)?;
    let (_, mut want) = hf::read(config_json)?;
    // Training's alone; and positions are counted from the first row that is written.
    want.dropout = found.dropout;
    if let PositionConfig::Learned(learned) = &mut want.position {
        learned.offset = 0;
    }
    match apart(&want, &found).first() {
        None => Ok(()),
        Some((path, ours, theirs)) => {
            let reason = format!("a GGUF file has no counterpart for {ours}: there it is {theirs}");
            Err(Refusal::new(path, reason).instead("the format `hf`, which keeps it"))
        }
    }
}
