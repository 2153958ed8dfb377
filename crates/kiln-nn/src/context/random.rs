//! Random numbers of a training call, and dropout (1207.0580).
//!
//! Each use has a generator of its own, keyed by (seed, use and path, step, micro-batch), so results don't depend on the
//! order of execution, and a recomputed block draws the same numbers. A dropout mask is a function of this key and the index of
//! an element; see [`kiln_kernels::dropout`].

use super::Context;
use burn::tensor::Tensor;
use kiln_kernels::dropout::Dropout;
use kiln_spec::Random;

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

    /// Returns the dropout of a use, for a kernel that applies it itself. `None` unless this is a training call and `rate` > 0.
    pub fn dropout_at(&self, name: &str, rate: f64) -> Option<Dropout> {
        self.rng_key.filter(|_| rate > 0.0)?;
        self.dropout_at_path(&self.path(name), rate)
    }

    /// The dropout of a use at a full path.
    fn dropout_at_path(&self, path: &str, rate: f64) -> Option<Dropout> {
        let random = self.random_named("dropout", path).filter(|_| rate > 0.0)?;
        Some(Dropout::from_stream(random, rate))
    }

    /// Dropout of `x` with `rate` at `name`. Outside training it returns `x`.
    pub fn dropout<const D: usize>(&self, name: &str, rate: f64, x: Tensor<D>) -> Tensor<D> {
        match self.dropout_at(name, rate) {
            Some(dropout) => dropout.apply(x),
            None => x,
        }
    }

    /// Dropout of `x` at a full path, independent of the current scope. For adapters, whose random numbers must not depend on the
    /// caller.
    pub fn dropout_named<const D: usize>(&self, path: &str, rate: f64, x: Tensor<D>) -> Tensor<D> {
        match self.dropout_at_path(path, rate) {
            Some(dropout) => dropout.apply(x),
            None => x,
        }
    }
}
