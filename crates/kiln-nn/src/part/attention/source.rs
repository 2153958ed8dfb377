//! Where keys and values come from.

use crate::{init::Init, part::attention::projection::Entry};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// Where keys and values come from.
    pub enum Source {
        /// From the tokens themselves.
        "self" => Own(kiln_spec::config::Nothing) with kiln_spec::Card::data("1706.03762"),
        /// From the tokens themselves, and from segments beside them that every token sees (2101.00190).
        "segments" => Segments(Segments) with kiln_spec::Card::data("2101.00190"),
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Own(kiln_spec::config::Nothing {})
    }
}

/// Segments beside the tokens' own keys.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Segments {
    /// Trained keys and values that stand before every document: so many.
    pub prefix: usize,
}

impl Default for Segments {
    fn default() -> Self {
        Self { prefix: 16 }
    }
}

impl Source {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, path: &str) -> Result<(), Refusal> {
        match self {
            Self::Segments(Segments { prefix }) if *prefix == 0 || *prefix > 1 << 16 => {
                let reason = format!("a trained prefix of 1 to {} keys, found {prefix}", 1 << 16);
                Err(Refusal::new(format!("{path}.segments.prefix"), reason).instead("source = \"self\""))
            }
            _ => Ok(()),
        }
    }
}

/// A trained prefix: entries that stand in no document and at no position.
#[derive(Module, Debug)]
pub struct Prefix {
    /// `[G · P, width]` for each tensor of an entry.
    entries: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    length: usize,
}

impl Prefix {
    /// A new prefix; `shapes` are heads and width of each tensor of an entry.
    pub fn new(length: usize, shapes: &[[usize; 2]], init: &mut Init) -> Self {
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
    pub fn before(&self, entry: Entry) -> Entry {
        let join = |(prefix, own): (&Param<Tensor<2>>, Tensor<4>)| {
            let [b, g, _, width] = own.dims();
            let prefix = prefix.val().cast(own.dtype()).reshape([1, g, self.length, width]);
            Tensor::cat(vec![prefix.expand([b, g, self.length, width]), own], 2)
        };
        self.entries.iter().zip(entry).map(join).collect()
    }
}
