//! A running mean of the weights, which is often better than the last weights themselves (Polyak and Juditsky 1992; 2411.18704).

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::Tensor,
};
use kiln_models::Model;
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
        let mut weights = FlatWeights(HashMap::new());
        model.visit(&mut weights);
        self.model = self.model.clone().map(&mut EmaUpdate { weights: weights.0, one_minus_decay: rest });
    }
}

/// Weights by Burn's ids, which a model shares with what was made of it; flat.
struct FlatWeights(HashMap<ParamId, Tensor<1>>);

impl ModuleVisitor for FlatWeights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val().inner();
        let length = weight.shape().num_elements();
        self.0.insert(param.id, weight.reshape([length]));
    }
}

struct EmaUpdate {
    weights: HashMap<ParamId, Tensor<1>>,
    one_minus_decay: f64,
}

impl ModuleMapper for EmaUpdate {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(weight) = self.weights.remove(&param.id) else { return param };
        let rest = self.one_minus_decay;
        param.map(|mean| {
            let weight = weight.reshape(mean.shape());
            mean.clone() + (weight - mean) * rest
        })
    }
}
