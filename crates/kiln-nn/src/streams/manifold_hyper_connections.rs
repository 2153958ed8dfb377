//! Manifold-constrained hyper-connections (mHC, 2512.24880): hyper-connections whose mixing keeps the size of the streams.
//!
//! With h `[n, M]` the streams of a token and f a sublayer (equation 3):
//!
//! * input of the sublayer: x = H_pre h, with H_pre `[1, n]`;
//! * new streams: H_res h + H_postᵀ f(x), with H_res `[n, n]` and H_post `[1, n]`.
//!
//! All three depend on the streams (equations 7 and 8). With u = RMSNorm(h), h as one vector `[n·M]`:
//!
//! * H_pre = σ(α_pre u φ_pre + b_pre), between 0 and 1;
//! * H_post = 2 σ(α_post u φ_post + b_post), between 0 and 2;
//! * H_res = the Sinkhorn–Knopp projection of exp(α_res u φ_res + b_res): its columns, then its rows are divided by their sums,
//!   20 times (equation 9). It is nearly doubly stochastic, so that the product of many such matrices is too.
//!
//! Parameters: `phi [n·M, 2n + n²]` = (φ_pre, φ_post, φ_res), 0 at first; `alpha [3]`, 0.01; `bias [2n + n²]`. The weight of the
//! RMSNorm is a part of φ. φ and b start at values of Kiln's choice: sublayer k reads three quarters of stream k mod n and an
//! equal share of the others, b_post is 0 (H_post = 1), and b_res is 0 on the diagonal and −4 elsewhere. All streams are then
//! equal to the one stream of a plain residual connection, but for rounding.
//!
//! n = 1 is the plain residual connection, without parameters.

use super::{
    StreamConnection, StreamNeeds, check_rate,
    hyper_connections::{mix, requested_change},
};
use crate::{
    context::Context,
    init::Initializer,
    junction::SublayerFn,
    variant::{BuildContext, Card, Variant, invalid},
};
use burn::{
    module::{Module, Param},
    tensor::{
        Tensor,
        activation::{log_softmax, sigmoid},
    },
};
use kiln_kernels::{exact::Arithmetic, rms_norm::rms_norm};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Greatest number of iterations of the projection: each is two operations of the forward and of the backward pass.
const MAX_ITERATIONS: usize = 100;

/// Initial value of the factors α.
const INITIAL_ALPHA: f32 = 0.01;

/// Initial value of b_res off the diagonal. A stream of four keeps 1 / (1 + 3 e^−4) = 95 % of itself.
const INITIAL_OFF_DIAGONAL: f32 = -4.0;

/// Options of [`ManifoldHyperConnections`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ManifoldHyperConnectionsConfig {
    /// Number n of residual streams. 1: the plain residual connection.
    pub expansion_rate: usize,
    /// Number of iterations of the Sinkhorn–Knopp projection. More of them bring the sums of rows and columns closer to 1.
    pub sinkhorn_iterations: usize,
    /// ε of the RMSNorm of the streams.
    pub norm_eps: f64,
}

impl Default for ManifoldHyperConnectionsConfig {
    fn default() -> Self {
        Self { expansion_rate: 4, sinkhorn_iterations: 20, norm_eps: 1e-6 }
    }
}

impl StreamNeeds for ManifoldHyperConnectionsConfig {
    fn count(&self) -> usize {
        self.expansion_rate
    }
}

/// Manifold-constrained hyper-connections of a sublayer.
#[derive(Module, Debug)]
pub struct ManifoldHyperConnections {
    /// Weights of the mixing; absent with one stream.
    mixing: Option<ConstrainedMixing>,
}

/// Weights of the mixing of n streams.
#[derive(Module, Debug)]
struct ConstrainedMixing {
    /// (φ_pre, φ_post, φ_res), `[n·M, 2n + n²]`.
    phi: Param<Tensor<2>>,
    /// (α_pre, α_post, α_res), `[3]`.
    alpha: Param<Tensor<1>>,
    /// (b_pre, b_post, b_res), `[2n + n²]`, b_res row-major.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    streams: usize,
    #[module(skip)]
    iterations: usize,
    #[module(skip)]
    norm_eps: f64,
}

impl Variant for ManifoldHyperConnections {
    type Config = ManifoldHyperConnectionsConfig;
    const CARD: Card = Card {
        incompatible_with: "`post` junctions: they normalize the residual stream itself",
        ..Card::new("manifold_hyper_connections", "2512.24880")
    };

    fn check(
        config: &ManifoldHyperConnectionsConfig,
        _build: &BuildContext,
        path: &str,
    ) -> Result<(), ValidationError> {
        check_rate(config.expansion_rate, path)?;
        match config {
            ManifoldHyperConnectionsConfig { sinkhorn_iterations: count, .. }
                if !(1..=MAX_ITERATIONS).contains(count) =>
            {
                let reason = format!("expected from 1 to {MAX_ITERATIONS} iterations, found {count}");
                invalid(path, "sinkhorn_iterations", reason)
            }
            ManifoldHyperConnectionsConfig { norm_eps: eps, .. } if !(*eps > 0.0 && eps.is_finite()) => {
                invalid(path, "norm_eps", format!("expected a finite number above 0, found {eps}"))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &ManifoldHyperConnectionsConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (n, sublayer) = (config.expansion_rate, init.sublayer);
        let outputs = 2 * n + n * n;
        let mixing = (n > 1).then(|| ConstrainedMixing {
            phi: init.constant([n * build.hidden, outputs], 0.0),
            alpha: init.constant([3], INITIAL_ALPHA),
            bias: init.fixed([outputs], initial_bias(n, sublayer)),
            streams: n,
            iterations: config.sinkhorn_iterations,
            norm_eps: config.norm_eps,
        });
        Self { mixing }
    }
}

/// (b_pre, b_post, b_res) for sublayer k: σ(b_pre) is ¾ for stream k mod n and ¼ / (n − 1) for the others, which adds up to 1.
fn initial_bias(n: usize, sublayer: usize) -> Vec<f32> {
    let other = -((4 * n - 5) as f32).ln();
    let pre = (0..n).map(|i| if i == sublayer % n { 3.0f32.ln() } else { other });
    let res = (0..n * n).map(|i| if i % (n + 1) == 0 { 0.0 } else { INITIAL_OFF_DIAGONAL });
    pre.chain(std::iter::repeat_n(0.0, n)).chain(res).collect()
}

impl StreamConnection for ManifoldHyperConnections {
    fn forward(&self, x: Tensor<3>, cx: &mut Context, branch: SublayerFn) -> Tensor<3> {
        let Some(mixing) = &self.mixing else { return x.clone() + branch(x, cx) };
        let ([b, t, width], n) = (x.dims(), mixing.streams);
        let m = width / n;
        let [pre, post, res] = mixing.weights(x.clone(), cx.arithmetic);
        let streams = x.reshape([b * t, n, m]);
        let input = mix(pre, streams.clone(), cx.arithmetic).reshape([b, t, m]);
        let output = branch(input, cx).reshape([b * t, 1, m]);
        (mix(res, streams, cx.arithmetic) + post * output).reshape([b, t, width])
    }
}

impl ConstrainedMixing {
    /// H_pre `[tokens, 1, n]`, H_post `[tokens, n, 1]` and H_res `[tokens, n, n]` of the streams of all tokens, `[B, T, n·M]`.
    fn weights(&self, x: Tensor<3>, arithmetic: Arithmetic) -> [Tensor<3>; 3] {
        let ([b, t, width], n) = (x.dims(), self.streams);
        let ones = Tensor::ones([width], (&x.device(), x.dtype()));
        let normed = rms_norm(x, ones, self.norm_eps).reshape([b * t, width]);
        let asked = requested_change(normed, self.phi.val(), arithmetic);
        let (alpha, bias) = (self.alpha.val(), self.bias.val());
        let part = |index: usize, start: usize, length: usize| {
            let scaled = asked.clone().narrow(1, start, length) * alpha.clone().narrow(0, index, 1).unsqueeze();
            scaled + bias.clone().narrow(0, start, length).unsqueeze()
        };
        let pre = sigmoid(part(0, 0, n)).reshape([b * t, 1, n]);
        let post = sigmoid(part(1, n, n)).reshape([b * t, n, 1]) * 2.0;
        let res = sinkhorn_knopp(part(2, 2 * n, n * n).reshape([b * t, n, n]), self.iterations);
        [pre, post, res]
    }
}

/// Sinkhorn–Knopp projection of exp(x) (equation 9): columns, then rows are divided by their sums, `iterations` times.
///
/// Computed with logarithms: a row or column whose exponentials all underflow would be divided by 0 otherwise.
fn sinkhorn_knopp(x: Tensor<3>, iterations: usize) -> Tensor<3> {
    (0..iterations).fold(x, |x, _| log_softmax(log_softmax(x, 1), 2)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn sums(x: &[[f32; 3]; 3], iterations: usize) -> [Vec<f32>; 2] {
        let x = Tensor::<3>::from_data([*x], &Device::flex());
        let projected = sinkhorn_knopp(x, iterations);
        [1, 2].map(|dim| projected.clone().sum_dim(dim).into_data().iter::<f32>().collect())
    }

    #[test]
    fn rows_and_columns_sum_to_one() {
        let [columns, rows] = sums(&[[0.3, -1.0, 2.0], [1.5, 0.0, -0.5], [-2.0, 0.7, 0.1]], 20);
        for sum in columns.iter().chain(&rows) {
            assert!((sum - 1.0).abs() < 1e-5, "{columns:?} {rows:?}");
        }
        // The rows are divided last, so that one iteration leaves the columns at other sums.
        let [columns, rows] = sums(&[[0.3, -1.0, 2.0], [1.5, 0.0, -0.5], [-2.0, 0.7, 0.1]], 1);
        assert!(rows.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{rows:?}");
        assert!(columns.iter().any(|sum| (sum - 1.0).abs() > 1e-2), "{columns:?}");
    }

    #[test]
    fn extreme_scores_stay_finite() {
        let [columns, rows] = sums(&[[-500.0, -500.0, -500.0], [400.0, 0.0, -300.0], [90.0, -90.0, 0.0]], 20);
        assert!(columns.iter().chain(&rows).all(|sum| sum.is_finite()), "{columns:?} {rows:?}");
        assert!(rows.iter().all(|sum| (sum - 1.0).abs() < 1e-4), "{rows:?}");
    }

    #[test]
    fn a_new_sublayer_reads_a_weighted_mean() {
        for n in [2, 4, 7] {
            let read: f32 = initial_bias(n, n + 1)[..n].iter().map(|b| 1.0 / (1.0 + (-b).exp())).sum();
            assert!((read - 1.0).abs() < 1e-6, "{n}: {read}");
        }
    }
}
