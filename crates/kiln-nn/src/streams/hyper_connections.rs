//! Hyper-connections (2409.19606): n residual streams that are mixed before and after each sublayer.
//!
//! With h `[n, M]` the streams of a token and f a sublayer:
//!
//! * input of the sublayer: x = Aₘᵀ h, with Aₘ `[n, 1]`;
//! * new streams: Aᵣᵀ h + β ⊗ f(x), with Aᵣ `[n, n]` and β `[n]` (equations 2 to 5).
//!
//! Static: α = (Aₘ, Aᵣ) `[n, n + 1]` and β are parameters. Dynamic: what each stream itself asks for is added to them (equations 10 to
//! 13), α + s_α tanh(norm(h) W_α) and β + s_β tanh(norm(h) W_β).
//!
//! At initialization (equation 14) sublayer k reads stream k mod n, Aᵣ is the identity, β is 1, W_α and W_β are 0 and s is 0.01.
//! All streams are then equal to the one stream of a plain residual connection.
//!
//! n = 1 is the plain residual connection, without parameters.

use super::{StreamConnection, StreamNeeds, check_rate};
use crate::{
    arithmetic::product,
    context::Context,
    init::Initializer,
    junction::SublayerFn,
    norm::{LayerNormConfig, Norm, NormConfig},
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::exact::Arithmetic;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Initial value of the factors s of the dynamic part.
const DYNAMIC_SCALE: f32 = 0.01;

/// Options of [`HyperConnections`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HyperConnectionsConfig {
    /// Number n of residual streams. 1: the plain residual connection.
    pub expansion_rate: usize,
    /// Let the weights of the mixing depend on the streams (DHC); otherwise they are the same for all tokens (SHC).
    pub dynamic: bool,
    /// Limit what the streams add to the weights of the mixing by tanh.
    pub tanh: bool,
    /// Norm of the streams that the weights of the mixing depend on.
    pub norm: NormConfig,
}

impl Default for HyperConnectionsConfig {
    fn default() -> Self {
        Self { expansion_rate: 4, dynamic: true, tanh: true, norm: NormConfig::Layer(LayerNormConfig::default()) }
    }
}

impl StreamNeeds for HyperConnectionsConfig {
    fn count(&self) -> usize {
        self.expansion_rate
    }
}

/// Hyper-connections of a sublayer.
#[derive(Module, Debug)]
pub struct HyperConnections {
    /// Weights of the mixing; absent with one stream.
    mixing: Option<StreamMixing>,
}

/// Weights of the mixing of n streams.
#[derive(Module, Debug)]
struct StreamMixing {
    /// α = (Aₘ, Aᵣ), `[n, n + 1]`.
    static_alpha: Param<Tensor<2>>,
    /// β, `[n]`.
    static_beta: Param<Tensor<1>>,
    /// What the streams add; absent with static hyper-connections.
    dynamic: Option<DynamicMixing>,
}

/// What the streams add to the weights of their mixing.
#[derive(Module, Debug)]
struct DynamicMixing {
    norm: Norm,
    /// W_α, `[M, n + 1]`.
    alpha_fn: Param<Tensor<2>>,
    /// s_α, `[1]`.
    alpha_scale: Param<Tensor<1>>,
    /// W_β, `[M]`.
    beta_fn: Param<Tensor<1>>,
    /// s_β, `[1]`.
    beta_scale: Param<Tensor<1>>,
    #[module(skip)]
    tanh: bool,
}

impl Variant for HyperConnections {
    type Config = HyperConnectionsConfig;
    const CARD: Card = Card {
        incompatible_with: "`post` junctions: they normalize the residual stream itself",
        ..Card::new("hyper_connections", "2409.19606")
    };

    fn check(config: &HyperConnectionsConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        check_rate(config.expansion_rate, path)?;
        config.norm.check(build, &format!("{path}.norm"))
    }

    fn init(config: &HyperConnectionsConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (n, sublayer) = (config.expansion_rate, init.sublayer);
        let mixing = (n > 1).then(|| StreamMixing {
            static_alpha: init.fixed([n, n + 1], initial_alpha(n, sublayer)),
            static_beta: init.constant([n], 1.0),
            dynamic: config.dynamic.then(|| DynamicMixing {
                norm: init.scope("dynamic", |init| init.scope("norm", |init| config.norm.init(build, init))),
                alpha_fn: init.constant([build.hidden, n + 1], 0.0),
                alpha_scale: init.constant([1], DYNAMIC_SCALE),
                beta_fn: init.constant([build.hidden], 0.0),
                beta_scale: init.constant([1], DYNAMIC_SCALE),
                tanh: config.tanh,
            }),
        });
        Self { mixing }
    }
}

/// (e_{k mod n}, identity) for sublayer k (equation 14), row-major `[n, n + 1]`.
fn initial_alpha(n: usize, sublayer: usize) -> Vec<f32> {
    let row = |i: usize| {
        let identity = (0..n).map(move |j| f32::from(u8::from(i == j)));
        std::iter::once(f32::from(u8::from(i == sublayer % n))).chain(identity)
    };
    (0..n).flat_map(row).collect()
}

impl StreamConnection for HyperConnections {
    fn forward(&self, x: Tensor<3>, cx: &mut Context, branch: SublayerFn) -> Tensor<3> {
        let Some(mixing) = &self.mixing else { return x.clone() + branch(x, cx) };
        let ([b, t, width], n) = (x.dims(), mixing.static_beta.dims()[0]);
        let m = width / n;
        let streams = x.reshape([b * t, n, m]);
        let (alpha, beta) = mixing.weights(streams.clone(), b * t, cx.arithmetic);
        let mixed = mix(alpha.swap_dims(1, 2), streams, cx.arithmetic);
        let input = mixed.clone().narrow(1, 0, 1).reshape([b, t, m]);
        let kept = mixed.narrow(1, 1, n);
        let output = branch(input, cx).reshape([b * t, 1, m]);
        (kept + beta * output).reshape([b, t, width])
    }
}

/// Weighted sums of the streams of each token: weights `[tokens, k, n]`, streams `[tokens, n, M] → [tokens, k, M]`. In exact
/// arithmetic stream after stream.
pub(super) fn mix(weights: Tensor<3>, streams: Tensor<3>, arithmetic: Arithmetic) -> Tensor<3> {
    if !arithmetic.is_exact() {
        return weights.matmul(streams);
    }
    let terms = (0..streams.dims()[1]).map(|i| weights.clone().narrow(2, i, 1) * streams.clone().narrow(1, i, 1));
    terms.reduce(|sum, term| sum + term).expect("at least two streams")
}

/// Product of the normalized streams `[N, I]` with the weights `[I, O]` of a dynamic mixing.
pub(super) fn requested_change(normed: Tensor<2>, weights: Tensor<2>, arithmetic: Arithmetic) -> Tensor<2> {
    match arithmetic {
        Arithmetic::Exact => product(normed, weights, arithmetic),
        Arithmetic::Fast => normed.matmul(weights),
    }
}

impl StreamMixing {
    /// α `[tokens or 1, n, n + 1]` and β `[tokens or 1, n, 1]` for the streams of all tokens, `[tokens, n, M]`.
    fn weights(&self, streams: Tensor<3>, tokens: usize, arithmetic: Arithmetic) -> (Tensor<3>, Tensor<3>) {
        let n = self.static_beta.dims()[0];
        let alpha = self.static_alpha.val().unsqueeze::<3>();
        let beta = self.static_beta.val().reshape([1, n, 1]);
        let Some(dynamic) = &self.dynamic else { return (alpha.expand([tokens, n, n + 1]), beta) };
        let m = streams.dims()[2];
        let normed = dynamic.norm.forward(streams).reshape([tokens * n, m]);
        let added = |matrix: Tensor<2>, scale: &Param<Tensor<1>>| {
            let asked = requested_change(normed.clone(), matrix, arithmetic).reshape([tokens as i32, n as i32, -1]);
            (if dynamic.tanh { asked.tanh() } else { asked }) * scale.val().unsqueeze()
        };
        let added_alpha = added(dynamic.alpha_fn.val(), &dynamic.alpha_scale);
        let added_beta = added(dynamic.beta_fn.val().unsqueeze_dim(1), &dynamic.beta_scale);
        (added_alpha + alpha, added_beta + beta)
    }
}
