//! Loads of the experts in a training step, and the change of the selection biases by them (2408.15664, algorithm 1).
//!
//! A layer with a selection bias records in each forward pass how many live tokens selected each expert. A block that gradient
//! checkpointing runs twice records it once. The counts of a step's micro-batches are added; they are whole numbers, so the
//! order of the sum does not matter. After the step, each bias changes by ±γ or not at all: it depends on the counts alone, and
//! is a parameter of the model, so that checkpoints hold it and a resumed run continues exactly.

use kiln_models::{Model, map_params};
use kiln_nn::part::experts::ExpertLoad;
use std::collections::BTreeMap;

/// Loads of a step by the name of the selection bias.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpertLoads(BTreeMap<String, ExpertLoad>);

impl ExpertLoads {
    /// Adds the loads of one micro-batch.
    pub(crate) fn add(&mut self, loads: Vec<ExpertLoad>) {
        for load in loads {
            let sum = match self.0.remove(&load.name) {
                Some(sum) => ExpertLoad { counts: sum.counts + load.counts, ..load },
                None => load,
            };
            self.0.insert(sum.name.clone(), sum);
        }
    }

    /// The model after its trainable selection biases have changed. A bias that the stage does not train stays as it is.
    pub(crate) fn update_selection_biases(&self, model: Model) -> Model {
        if self.0.is_empty() {
            return model;
        }
        map_params(model, |param| {
            let Some(load) = self.0.get(&param.name()).filter(|_| param.view().is_trainable()) else { return };
            param.map(|bias| load.updated_bias(bias.flatten()).into());
        })
    }
}
