//! What is drawn at random while training: named numbers, and dropout made of them.

use super::Context;
use burn::tensor::{Tensor, TensorData};
use kiln_spec::{Random, formula::MarkField};

impl Context {
    /// Random numbers for a use at `leaf`. `None` unless training.
    pub fn random(&self, name: &str, leaf: &str) -> Option<Random> {
        self.rng_key.and_then(|_| self.random_named(name, &self.path(leaf)))
    }

    fn random_named(&self, name: &str, path: &str) -> Option<Random> {
        let draws = self.rng_key?;
        Some(Random::new(draws.seed, &format!("{name}.{path}"), draws.step, draws.micro_batch))
    }

    /// Dropout's factors (1207.0580): 0 with probability `rate`, else 1/(1−rate). `None` unless training.
    pub fn dropout_mask<const D: usize>(&self, leaf: &str, rate: f64, shape: [usize; D]) -> Option<Tensor<D>> {
        let random = self.random("dropout", leaf).filter(|_| rate > 0.0)?;
        Some(self.sample_dropout_mask(random, rate, shape))
    }

    fn sample_dropout_mask<const D: usize>(&self, mut random: Random, rate: f64, shape: [usize; D]) -> Tensor<D> {
        let threshold = (rate * f64::from(u32::MAX)) as u32;
        let keep = (1.0 / (1.0 - rate)) as f32;
        let draw = |_| if random.next_u32() < threshold { 0.0 } else { keep };
        let factors: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
        let device = self.stream.tokens.field(MarkField::Position).device();
        Tensor::from_data(TensorData::new(factors, shape), &device)
    }

    /// `x` with dropout, if this call trains.
    pub fn dropout<const D: usize>(&self, leaf: &str, rate: f64, x: Tensor<D>) -> Tensor<D> {
        if self.rng_key.is_none() || rate <= 0.0 {
            return x;
        }
        self.dropout_named(&self.path(leaf), rate, x)
    }

    /// The same by its whole name, whatever the path here.
    pub fn dropout_named<const D: usize>(&self, name: &str, rate: f64, x: Tensor<D>) -> Tensor<D> {
        let Some(random) = self.random_named("dropout", name).filter(|_| rate > 0.0) else { return x };
        let (factors, dtype) = (self.sample_dropout_mask(random, rate, x.dims()), x.dtype());
        x * factors.cast(dtype)
    }
}
