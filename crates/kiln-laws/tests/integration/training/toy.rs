//! Single training steps without a run: a small model, batches, and plain gradient descent.

use crate::training::runs::{autodiff, recipe};
use burn::tensor::Tensor;
use kiln_data::{
    Batch, Corpus, DiskSpace, Packer, Tokenizer, TokenizerConfig, ValidationSplit, next_token_batch, stories,
};
use kiln_laws::values;
use kiln_models::{Model, ModelConfig, StateDict};
use kiln_nn::context::RngKey;
use kiln_spec::Direction;
use kiln_train::{
    Models,
    optimizer::{Optimizer, OptimizerConfig, OptimizerState, ParamUpdate, UpdateRule},
};
use std::sync::Arc;

/// A key for steps without dropout.
pub const RNG_KEY: RngKey = RngKey { seed: 0, step: 0, micro_batch: 0 };

/// Gradient descent: w ← w − rate · gradient.
pub struct GradientDescent;

impl UpdateRule for GradientDescent {
    fn slot_names(&self, _name: &str, _shape: &[usize]) -> &'static [&'static str] {
        &[]
    }

    fn update(
        &self,
        update: &ParamUpdate,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        _: &mut OptimizerState,
    ) -> Tensor<1> {
        weight - gradient * update.learning_rate
    }
}

/// An optimizer that is gradient descent without weight decay.
pub fn gradient_descent() -> Optimizer {
    Optimizer { rule: Box::new(GradientDescent), ..Optimizer::new(&OptimizerConfig::default()) }
}

/// Model of the small recipe.
pub fn config() -> ModelConfig {
    ModelConfig { vocab: tokenizer().vocab_size(), ..recipe(&[]).model }
}

/// Model of the small recipe with newly initialized weights.
pub fn models() -> Models {
    Models::new(Model::init(&config(), 5, &autodiff()))
}

/// The byte tokenizer.
pub fn tokenizer() -> Tokenizer {
    Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok::<_, kiln_data::DataError>("")]).unwrap()
}

/// A corpus of `count` stories.
pub fn corpus(count: u64, tokenizer: &Tokenizer) -> Arc<Corpus> {
    let texts: Vec<String> = (0..count).map(|number| stories::text(1, number)).collect();
    let split = ValidationSplit::new(&texts, 0.1).unwrap();
    Arc::new(Corpus::build(&texts, &split, tokenizer, &DiskSpace::in_memory(), |_, _| ()).unwrap())
}

/// Rows of stories with different numbers of targets.
pub fn batch(rows: usize, width: usize) -> Batch {
    let packer = Packer::training(corpus(40, &tokenizer()), width, 2).unwrap();
    let mut batch = next_token_batch(&packer.rows_at_step(0, rows).unwrap(), Direction::Causal).unwrap();
    for row in 0..rows {
        let cut = row * width + width * (rows - row) / rows;
        batch.weights[cut..(row + 1) * width].fill(0.0);
    }
    batch
}

/// Values of all parameters.
pub fn weights(models: &Models) -> StateDict {
    values(&models.policy)
}

/// Distance between the weights of two models, relative to the norm of the first.
pub fn relative_difference(a: &StateDict, b: &StateDict) -> f64 {
    assert!(a.keys().eq(b.keys()));
    let pairs = a.iter().flat_map(|(name, data)| data.iter::<f64>().zip(b[name].iter::<f64>()).collect::<Vec<_>>());
    let (far, size) = pairs.fold((0.0, 0.0), |(far, size), (a, b)| (far + (a - b).powi(2), size + a * a));
    f64::sqrt(far / size)
}
