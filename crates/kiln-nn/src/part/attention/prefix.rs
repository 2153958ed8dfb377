//! A trained prefix of keys and values (2101.00190).

use crate::{init::Initializer, part::attention::projection::KeyValue};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};

/// A trained prefix: entries that stand in no document and at no position.
#[derive(Module, Debug)]
pub struct TrainedPrefix {
    /// `[G · P, width]` for each tensor of an entry.
    entries: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    length: usize,
}

impl TrainedPrefix {
    /// A new prefix; `shapes` are heads and width of each tensor of an entry.
    pub fn new(length: usize, shapes: &[[usize; 2]], init: &mut Initializer) -> Self {
        let entry = |(i, [heads, width]): (usize, &[usize; 2])| {
            init.normal(&format!("entries.{i}"), [heads * length, *width], 1.0 / (*width as f64).sqrt())
        };
        Self { entries: shapes.iter().enumerate().map(entry).collect(), length }
    }

    /// Keys in it.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The prefix and then `entry`.
    pub fn prepend_to(&self, entry: KeyValue) -> KeyValue {
        let join = |(prefix, own): (&Param<Tensor<2>>, Tensor<4>)| {
            let [b, g, _, width] = own.dims();
            let prefix = prefix.val().cast(own.dtype()).reshape([1, g, self.length, width]);
            Tensor::cat(vec![prefix.expand([b, g, self.length, width]), own], 2)
        };
        self.entries.iter().zip(entry).map(join).collect()
    }
}
