//! Heads: H for queries, G for keys and values. G = H is multi-head (1706.03762), G = 1 multi-query (1911.02150), in
//! between grouped-query (2305.13245).

use super::{Entry, Project};
use crate::{
    cx::Cx,
    init::Init,
    linear::Linear,
    part::attention::{Form, Read, Rotate},
    variant::{Around, Card, Variant, WIDEST},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Heads`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HeadsConfig {
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values, a divisor of `heads`; absent: as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Width of a head; absent: hidden / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Whether the four matrices have biases.
    pub bias: bool,
    /// Whether the output's has one; absent: as the other three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_bias: Option<bool>,
    /// What products of queries and keys are multiplied by; absent: 1/√head width. T5 has 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

impl Default for HeadsConfig {
    fn default() -> Self {
        Self { heads: 4, kv_heads: None, head_dim: None, bias: false, out_bias: None, scale: None }
    }
}

/// Query, key, value and output matrices.
#[derive(Module, Debug)]
pub struct Heads {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    kv_heads: usize,
    #[module(skip)]
    scale: f64,
}

impl Variant for Heads {
    type Config = HeadsConfig;
    const CARD: Card = Card {
        state: "2 × kv heads × head width a token",
        time: "T²",
        refuses: "kv heads that don't divide heads",
        ..Card::new("heads", "1706.03762, 2305.13245, 1911.02150")
    };

    fn resolve(config: &mut HeadsConfig, around: &Around) {
        config.kv_heads.get_or_insert(config.heads);
        config.head_dim.get_or_insert(around.hidden / config.heads.max(1));
        config.out_bias = config.out_bias.filter(|own| *own != config.bias);
    }

    fn check(config: &HeadsConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Err(Refusal::new(format!("{path}.{key}"), reason));
        let (heads, kv_heads) = (config.heads, config.kv_heads.unwrap_or(config.heads));
        if heads == 0 || kv_heads == 0 {
            return refuse(if heads == 0 { "heads" } else { "kv_heads" }, "attention without heads".into());
        }
        if !heads.is_multiple_of(kv_heads) {
            return refuse("kv_heads", format!("{kv_heads} kv heads don't divide {heads} heads"));
        }
        if config.head_dim.is_none() && !around.hidden.is_multiple_of(heads) {
            return refuse("heads", format!("{heads} heads don't divide hidden = {}", around.hidden));
        }
        let width = config.head_dim.unwrap_or(around.hidden / heads);
        match around.position.check_heads(heads, width) {
            _ if width.saturating_mul(heads) > WIDEST => {
                refuse("head_dim", format!("{heads} heads of {width}: at most {WIDEST} together"))
            }
            _ if width == 0 => refuse("head_dim", "heads of width 0".into()),
            _ if config.scale.is_some_and(|scale| !(scale > 0.0 && scale.is_finite())) => {
                refuse("scale", format!("a number above 0, found {}", config.scale.unwrap_or_default()))
            }
            Err(reason) => refuse("head_dim", reason),
            Ok(()) => Ok(()),
        }
    }

    fn init(config: &HeadsConfig, around: &Around, init: &mut Init) -> Self {
        let (heads, kv_heads) = (config.heads, config.kv_heads.unwrap_or(config.heads));
        let (m, d) = (around.hidden, config.head_dim.unwrap_or(around.hidden / heads));
        Self {
            q: Linear::new("q", [m, heads * d], config.bias, init),
            k: Linear::new("k", [m, kv_heads * d], config.bias, init),
            v: Linear::new("v", [m, kv_heads * d], config.bias, init),
            o: Linear::residual("o", [heads * d, m], config.out_bias.unwrap_or(config.bias), init),
            heads,
            kv_heads,
            scale: config.scale.unwrap_or(1.0 / (d as f64).sqrt()),
        }
    }
}

impl Project for Heads {
    fn write(&self, x: Tensor<3>, cx: &mut Cx, rotate: Rotate) -> Entry {
        let key = split(self.k.forward_in(x.clone(), cx), self.kv_heads);
        vec![rotate(key, cx), split(self.v.forward_in(x, cx), self.kv_heads)]
    }

    fn read(&self, x: Tensor<3>, entries: Entry, cx: &mut Cx, rotate: Rotate) -> Read {
        let query = rotate(split(self.q.forward_in(x, cx), self.heads), cx);
        let [key, value]: [Tensor<4>; 2] = entries.try_into().expect("an entry is a key and a value");
        Read { query, key, value, scale: self.scale, form: Form::Expanded }
    }

    fn merge(&self, out: Tensor<4>, _form: Form, cx: &Cx) -> Tensor<3> {
        let [b, h, t, d] = out.dims();
        self.o.forward_in(out.swap_dims(1, 2).reshape([b, t, h * d]), cx)
    }

    fn entry_shapes(&self) -> Vec<[usize; 2]> {
        vec![[self.kv_heads, self.head_dim()]; 2]
    }

    fn on_cpu(&self) -> bool {
        self.q.on_cpu()
    }

    fn flops(&self) -> (f64, f64) {
        let matrices = [&self.q, &self.k, &self.v, &self.o];
        (matrices.iter().map(|m| m.flops()).sum(), 4.0 * (self.heads * self.head_dim()) as f64)
    }

    fn describe(&self) -> String {
        format!("{} heads of {}, {} kv", self.heads, self.head_dim(), self.kv_heads)
    }
}

impl Heads {
    fn head_dim(&self) -> usize {
        self.q.size()[1] / self.heads
    }
}

/// `[B, T, H·D] → [B, H, T, D]`.
pub fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [b, t, m] = x.dims();
    x.reshape([b, t, heads, m / heads]).swap_dims(1, 2)
}
