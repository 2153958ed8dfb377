//! Trained prefix of keys and values (prefix tuning, 2101.00190, section 4).
//!
//! P trained key-value pairs per head that every query of every document sees. They have no position and belong to no document,
//! so attention over them is a kernel call of its own, merged with that over the tokens.

use crate::{init::Initializer, part::attention::projection::KeyValue};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};

/// Trained prefix. Parameters: `entries.0` and `entries.1`, keys and values `[G · P, width]` each (of MLA: latents and rotary
/// keys), normal with standard deviation 1/√width.
#[derive(Module, Debug)]
pub struct TrainedPrefix {
    /// `[G · P, width]` for each tensor that the projection caches.
    entries: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    length: usize,
}

impl TrainedPrefix {
    /// Returns a prefix of `length` pairs; `shapes` are heads and width of each tensor that the projection caches.
    pub fn new(length: usize, shapes: &[[usize; 2]], init: &mut Initializer) -> Self {
        let entries = shapes.iter().enumerate().map(|(i, [heads, width])| {
            init.normal(&format!("entries.{i}"), [heads * length, *width], 1.0 / (*width as f64).sqrt())
        });
        Self { entries: entries.collect(), length }
    }

    /// Returns the number P of pairs.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the tensors that the projection caches, `[B, G, P, width]` each, for `rows` rows, in the type of `like`.
    /// `shapes` are heads and width of each.
    pub fn key_value(&self, rows: usize, shapes: &[[usize; 2]], like: &Tensor<4>) -> KeyValue {
        let tensors = self.entries.iter().zip(shapes).map(|(prefix, [g, width])| {
            let prefix = prefix.val().cast(like.dtype()).reshape([1, *g, self.length, *width]);
            prefix.expand([rows, *g, self.length, *width])
        });
        tensors.collect()
    }

    /// Returns the prefix followed by the tokens' keys and values, `[B, G, P + S, width]` each.
    pub fn prepend_to(&self, tokens: KeyValue) -> KeyValue {
        let Some(first) = tokens.first() else { return tokens };
        let shapes: Vec<[usize; 2]> = tokens.iter().map(|tensor| [tensor.dims()[1], tensor.dims()[3]]).collect();
        let prefix = self.key_value(first.dims()[0], &shapes, first);
        prefix.into_iter().zip(tokens).map(|(prefix, tokens)| Tensor::cat(vec![prefix, tokens], 2)).collect()
    }
}
