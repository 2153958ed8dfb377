//! What is drawn at random while training: named numbers, and dropout made of them.

use super::Cx;
use burn::tensor::{Tensor, TensorData};
use kiln_spec::{Random, formula::Field};

impl Cx {
    /// Random numbers for a use at `leaf`. `None` unless training.
    pub fn random(&self, name: &str, leaf: &str) -> Option<Random> {
        self.draws.and_then(|_| self.named(name, &self.path(leaf)))
    }

    fn named(&self, name: &str, path: &str) -> Option<Random> {
        let draws = self.draws?;
        Some(Random::new(draws.seed, &format!("{name}.{path}"), draws.step, draws.part))
    }

    /// Dropout's factors (1207.0580): 0 with probability `rate`, else 1/(1−rate). `None` unless training.
    pub fn dropout_factors<const D: usize>(&self, leaf: &str, rate: f64, shape: [usize; D]) -> Option<Tensor<D>> {
        let random = self.random("dropout", leaf).filter(|_| rate > 0.0)?;
        Some(self.factors(random, rate, shape))
    }

    fn factors<const D: usize>(&self, mut random: Random, rate: f64, shape: [usize; D]) -> Tensor<D> {
        let threshold = (rate * f64::from(u32::MAX)) as u32;
        let keep = (1.0 / (1.0 - rate)) as f32;
        let draw = |_| if random.next_u32() < threshold { 0.0 } else { keep };
        let factors: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
        let device = self.stream.now.field(Field::Position).device();
        Tensor::from_data(TensorData::new(factors, shape), &device)
    }

    /// `x` with dropout, if this call trains.
    pub fn dropout<const D: usize>(&self, leaf: &str, rate: f64, x: Tensor<D>) -> Tensor<D> {
        if self.draws.is_none() || rate <= 0.0 {
            return x;
        }
        self.dropout_named(&self.path(leaf), rate, x)
    }

    /// The same by its whole name, whatever the path here.
    pub fn dropout_named<const D: usize>(&self, name: &str, rate: f64, x: Tensor<D>) -> Tensor<D> {
        let Some(random) = self.named("dropout", name).filter(|_| rate > 0.0) else { return x };
        let (factors, dtype) = (self.factors(random, rate, x.dims()), x.dtype());
        x * factors.cast(dtype)
    }
}
