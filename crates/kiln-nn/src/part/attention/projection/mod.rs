//! How queries, keys and values are made and merged.

mod heads;
mod latent;

pub(crate) use heads::split;
pub use heads::{Heads, HeadsConfig};
pub use latent::{Latent, LatentConfig};

use crate::cx::Cx;
use burn::tensor::Tensor;

/// What is kept of each token: tensors `[B, G, T, width]`, joined along T.
pub type Entry = Vec<Tensor<4>>;

crate::variants! {
    /// How queries, keys and values are made and merged.
    Projection, ProjectionConfig: dyn Project {
        /// Multi-head, grouped-query and multi-query heads by two numbers (1706.03762, 2305.13245, 1911.02150).
        "heads" => Heads(Heads),
        /// Multi-head latent attention: keys and values of all heads are made of one latent a token (2405.04434).
        "latent" => Latent(Latent),
    }
}

impl Default for ProjectionConfig {
    fn default() -> Self {
        Self::Heads(HeadsConfig::default())
    }
}

impl ProjectionConfig {
    /// Query heads.
    pub fn heads(&self) -> usize {
        match self {
            Self::Heads(c) => c.heads,
            Self::Latent(c) => c.heads,
        }
    }
}

/// Turns queries and keys by their positions.
pub type Rotate<'a> = &'a mut dyn FnMut(Tensor<4>, &mut Cx) -> Tensor<4>;

/// What a kernel is given.
#[derive(Clone, Debug)]
pub struct Read {
    /// `[B, H, T, D]`.
    pub query: Tensor<4>,
    /// `[B, G, S, D]`.
    pub key: Tensor<4>,
    /// `[B, G, S, E]`.
    pub value: Tensor<4>,
    /// What the query is multiplied by.
    pub scale: f64,
    /// What is merged afterwards.
    pub form: Form,
}

impl Read {
    /// Takes the first `length` keys out.
    pub(super) fn split(&mut self, length: usize) -> Self {
        let part = |x: &Tensor<4>, from: usize, length: usize| x.clone().narrow(2, from, length);
        let rest = self.key.dims()[2] - length;
        let first = Self { key: part(&self.key, 0, length), value: part(&self.value, 0, length), ..self.clone() };
        (self.key, self.value) = (part(&self.key, length, rest), part(&self.value, length, rest));
        first
    }
}

/// What the values of a call are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Form {
    /// Values of heads.
    #[default]
    Expanded,
    /// Latents that heads share: values are made of the output.
    Absorbed,
}

/// How queries, keys and values are made and merged.
pub trait Project {
    /// What is kept of each token, with positions in it.
    fn write(&self, x: Tensor<3>, cx: &mut Cx, rotate: Rotate) -> Entry;

    /// Queries of this call against all entries.
    fn read(&self, x: Tensor<3>, entries: Entry, cx: &mut Cx, rotate: Rotate) -> Read;

    /// `[B, H, T, E] → [B, T, M]`, of values in the form that was read.
    fn merge(&self, out: Tensor<4>, form: Form, cx: &Cx) -> Tensor<3>;

    /// Heads and width of each tensor that is kept of a token.
    fn entry_shapes(&self) -> Vec<[usize; 2]>;

    /// Whether its weights are where fused CPU kernels work.
    fn on_cpu(&self) -> bool;

    /// Multiplications and additions: a token, and a token and key.
    fn flops(&self) -> (f64, f64);

    /// A few words for people.
    fn describe(&self) -> String;
}
