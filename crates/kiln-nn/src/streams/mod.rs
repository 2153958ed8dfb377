//! Residual streams: the residual connections of a stack's sublayers.
//!
//! With h the streams and f a sublayer with the norms of its junction:
//!
//! | connection | streams | output | parameters | paper |
//! |---|---|---|---|---|
//! | single | 1 | h + f(h) | | 1512.03385 |
//! | hyper-connections | n | Aᵣᵀ h + βᵀ f(Aₘᵀ h) | `static_alpha`, `static_beta`, … | 2409.19606 |
//!
//! A stack has n streams, which travel as one tensor `[B, T, n·M]`, so that blocks, depth rules and gradient checkpointing see one
//! residual stream of another width. [`expand`] copies the embeddings into all streams, [`sum`] adds the streams before the
//! final norm. With n = 1 neither adds an operation.
//!
//! Parameters are under `<role>_streams`, named after the sublayer's first part: `blocks.0.attention_streams.static_alpha`.

mod hyper_connections;
mod single;

pub use hyper_connections::{HyperConnections, HyperConnectionsConfig};
pub use single::SingleStream;

use crate::{context::Context, junction::SublayerFn};
use burn::tensor::Tensor;

/// Residual connection of a sublayer.
pub trait StreamConnection {
    /// Runs `branch`, a sublayer without its residual connection, on the streams `[B, T, n·M]`, and returns the new streams.
    /// `branch` sees `[B, T, M]`.
    fn forward(&self, x: Tensor<3>, cx: &mut Context, branch: SublayerFn) -> Tensor<3>;
}

crate::variants! {
    /// Residual connections of the sublayers: one residual stream, or several that are mixed.
    ResidualStreams, ResidualStreamsConfig: dyn StreamConnection {
        /// One stream: x + f(x) (1512.03385).
        "single" => Single(SingleStream),
        /// Hyper-connections: several streams, mixed by trained weights before and after each sublayer (2409.19606).
        "hyper_connections" => HyperConnections(HyperConnections),
    }
}

impl Default for ResidualStreamsConfig {
    fn default() -> Self {
        Self::Single(kiln_spec::config::NoOptions {})
    }
}

impl ResidualStreamsConfig {
    /// Returns the number n of streams.
    pub fn count(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::HyperConnections(connections) => connections.expansion_rate,
        }
    }
}

/// Copies of `x` in n streams, `[B, T, M] → [B, T, n·M]`.
pub fn expand(x: Tensor<3>, streams: usize) -> Tensor<3> {
    if streams == 1 {
        return x;
    }
    let [b, t, m] = x.dims();
    x.unsqueeze_dim::<4>(2).expand([b, t, streams, m]).reshape([b, t, streams * m])
}

/// Sum of n streams, `[B, T, n·M] → [B, T, M]` (2409.19606, section 2).
pub fn sum(x: Tensor<3>, streams: usize) -> Tensor<3> {
    if streams == 1 {
        return x;
    }
    let [b, t, width] = x.dims();
    x.reshape([b, t, streams, width / streams]).sum_dim(2).squeeze_dim(2)
}
