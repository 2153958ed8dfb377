//! Random numbers of a training call, and dropout (1207.0580).
//!
//! Each use has a generator of its own, keyed by (seed, use and path, step, micro-batch), so results don't depend on the
//! order of execution, and a recomputed block draws the same numbers. Numbers are made on the host and uploaded.

use super::Context;
use burn::tensor::{Tensor, TensorData};
use kiln_spec::{Random, formula::MarkField};

impl Context {
    /// Returns the random numbers for a use (`layer_drop`) at the path of `name`. `None` unless this is a training call.
    pub fn random(&self, usage: &str, name: &str) -> Option<Random> {
        self.rng_key.and_then(|_| self.random_named(usage, &self.path(name)))
    }

    /// The random numbers for a use at a full path.
    fn random_named(&self, usage: &str, path: &str) -> Option<Random> {
        let key = self.rng_key?;
        Some(Random::new(key.seed, &format!("{usage}.{path}"), key.step, key.micro_batch))
    }

    /// Returns dropout factors of a shape: 0 with probability `rate`, otherwise 1/(1 − rate), so that the mean stays. `None`
    /// unless this is a training call and `rate` > 0.
    pub fn dropout_mask<const D: usize>(&self, name: &str, rate: f64, shape: [usize; D]) -> Option<Tensor<D>> {
        let random = self.random("dropout", name).filter(|_| rate > 0.0)?;
        Some(self.sample_dropout_mask(random, rate, shape))
    }

    /// Draws dropout factors, row-major, one 32-bit number each.
    fn sample_dropout_mask<const D: usize>(&self, mut random: Random, rate: f64, shape: [usize; D]) -> Tensor<D> {
        let threshold = (rate * f64::from(u32::MAX)) as u32;
        let scale = (1.0 / (1.0 - rate)) as f32;
        let count = shape.iter().product();
        let factors: Vec<f32> = (0..count).map(|_| if random.next_u32() < threshold { 0.0 } else { scale }).collect();
        let device = self.stream.tokens.field(MarkField::Position).device();
        Tensor::from_data(TensorData::new(factors, shape), &device)
    }

    /// Dropout of `x` with `rate` at `name`. Outside training it returns `x`.
    pub fn dropout<const D: usize>(&self, name: &str, rate: f64, x: Tensor<D>) -> Tensor<D> {
        if self.rng_key.is_none() || rate <= 0.0 {
            return x;
        }
        self.dropout_named(&self.path(name), rate, x)
    }

    /// Dropout of `x` at a full path, independent of the current scope. For adapters, whose random numbers must not depend on the
    /// caller.
    pub fn dropout_named<const D: usize>(&self, path: &str, rate: f64, x: Tensor<D>) -> Tensor<D> {
        let Some(random) = self.random_named("dropout", path).filter(|_| rate > 0.0) else { return x };
        let (factors, dtype) = (self.sample_dropout_mask(random, rate, x.dims()), x.dtype());
        x * factors.cast(dtype)
    }
}
