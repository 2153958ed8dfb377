//! Exponential moving average (EMA) of the weights (Polyak and Juditsky 1992; 2411.18704).
//!
//! The averaged weights often have a lower validation loss than the last weights. A stage with `ema_decay` evaluates,
//! samples and saves them.

use burn::module::Module;
use kiln_models::{Model, for_each_param, map_params};
use std::collections::HashMap;

/// Exponential moving average of a model's weights. It takes as much memory as the weights.
#[derive(Clone, Debug)]
pub struct WeightEma {
    decay: f64,
    /// The averaged weights, without gradients.
    pub model: Model,
}

impl WeightEma {
    /// The average before the first update: the weights of `model`. `decay` is from 0 up to but not including 1.
    pub fn new(model: &Model, decay: f64) -> Self {
        Self { decay, model: model.valid() }
    }

    /// Updates the average with the weights of `model` after `steps` steps: e ← e + (1 − d) (w − e).
    ///
    /// The decay d = min(`decay`, (1 + steps) / (10 + steps)) grows with the steps, so that the random initial weights
    /// lose their influence within the first tens of steps. Frozen weights equal their average and are left out.
    pub fn update(&mut self, model: &Model, steps: u64) {
        let steps = steps as f64;
        let new_fraction = 1.0 - self.decay.min((1.0 + steps) / (10.0 + steps));
        // Keyed by Burn's parameter ids, which a model shares with the models made from it.
        let mut weights = HashMap::new();
        for_each_param(model, |param| {
            if !param.is_trainable() {
                return;
            }
            weights.insert(param.id(), param.tensor().inner().flatten());
        });
        self.model = map_params(self.model.clone(), |param| {
            let Some(weight) = weights.remove(&param.view().id()) else { return };
            param.map(|mean| {
                let mean = mean.flatten();
                (mean.clone() + (weight - mean) * new_fraction).into()
            });
        });
    }
}
