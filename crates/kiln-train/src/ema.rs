//! A running mean of the weights, which is often better than the last weights themselves (Polyak and Juditsky 1992; 2411.18704).

use burn::module::Module;
use kiln_models::{Model, for_each_param, map_params};
use std::collections::HashMap;

/// The mean: a model like the one that trains, without gradients.
#[derive(Clone, Debug)]
pub struct WeightEma {
    decay: f64,
    /// The averaged weights.
    pub model: Model,
}

impl WeightEma {
    /// Starts at the weights of `model`.
    pub fn new(model: &Model, decay: f64) -> Self {
        Self { decay, model: model.valid() }
    }

    /// Moves on by the weights after so many steps: e ← e + (1 − d) (w − e). The decay d grows with the steps up to
    /// what it was asked to be, `min(decay, (1 + steps) / (10 + steps))`, so that the start is soon forgotten.
    pub fn update(&mut self, model: &Model, steps: u64) {
        let steps = steps as f64;
        let rest = 1.0 - self.decay.min((1.0 + steps) / (10.0 + steps));
        // By Burn's ids, which a model shares with the models made of it.
        let mut weights = HashMap::new();
        for_each_param(model, |param| {
            weights.insert(param.id(), param.tensor().inner().flatten());
        });
        self.model = map_params(self.model.clone(), |param| {
            let Some(weight) = weights.remove(&param.view().id()) else { return };
            param.map(|mean| {
                let mean = mean.flatten();
                (mean.clone() + (weight - mean) * rest).into()
            });
        });
    }
}
