//! Attention: source → projection → position → pattern → score, and a kernel that the planner picks.
//!
//! B batch, H heads, G kv heads, T queries, S keys, D width of a head, M hidden.

mod cache;
pub mod projection;
mod source;

pub use projection::{Heads, HeadsConfig, Projection, ProjectionConfig};
pub use source::Source;

use crate::{
    cx::{Cx, Keys},
    init::Init,
    part::Forward,
    position::{Position, PositionConfig},
    variant::{Around, Card, Cost, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::{
    attention::{Call, Score, attend},
    planner::{Facts, Plan, plan},
};
use kiln_spec::{Pattern, Refusal, plan::Keep};
use projection::Entry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The five choices.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionConfig {
    /// Where keys and values come from.
    pub source: Source,
    /// How queries, keys and values are made and merged.
    pub projection: ProjectionConfig,
    /// How order enters; absent: as in the stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionConfig>,
    /// Who may look at whom, by geometry.
    pub pattern: Pattern,
    /// How looks become weights.
    pub score: Score,
}

/// The attention layer.
#[derive(Module, Debug)]
pub struct Attention {
    projection: Projection,
    position: Option<Position>,
    #[module(skip)]
    source: Source,
    #[module(skip)]
    pattern: Pattern,
    #[module(skip)]
    score: Score,
    #[module(skip)]
    dropout: f64,
}

impl Variant for Attention {
    type Config = AttentionConfig;
    const CARD: Card = Card {
        role: "attention",
        state: "T, or the window",
        time: "T², or T × window",
        ..Card::new("attention", "1706.03762")
    };

    fn resolve(config: &mut AttentionConfig, around: &Around) {
        config.projection.resolve(around);
    }

    fn check(config: &AttentionConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        let position = config.position.as_ref().unwrap_or(around.position);
        if let Some(own @ PositionConfig::Learned(_)) = &config.position {
            let reason = format!("`{}` positions are added to the embeddings, not in a layer", own.name());
            return Err(Refusal::new(format!("{path}.position"), reason).instead("position = \"learned\" of the model"));
        }
        config.source.check(config.position.is_some(), path)?;
        position.check(around, &format!("{path}.position"))?;
        let around = Around { position, ..*around };
        config.projection.check(&around, &format!("{path}.projection"))?;
        match config.score.softcap() {
            Some(cap) if cap.is_nan() || cap <= 0.0 => {
                let reason = format!("a softcap bends scores to ±softcap: it must be above 0, found {cap}");
                Err(Refusal::new(format!("{path}.score.softmax.softcap"), reason).instead("leave it away"))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &AttentionConfig, around: &Around, init: &mut Init) -> Self {
        Self {
            projection: config.projection.init(around, init),
            position: config.position.as_ref().map(|p| p.init(around, init)),
            source: config.source.clone(),
            pattern: config.pattern.clone(),
            score: config.score.clone(),
            dropout: around.dropout,
        }
    }
}

impl Forward for Attention {
    fn forward(&self, x: Tensor<3>, cx: &mut Cx) -> Tensor<3> {
        let keys = self.source.keys(self.keep());
        let position = self.position.clone().or_else(|| cx.position.clone()).filter(|_| keys != Keys::Memory);
        let mut rotate = |x: Tensor<4>, cx: &mut Cx| match &position {
            Some(position) => position.rotate(x, cx),
            None => x,
        };
        let written = match keys {
            Keys::Own(keep) => Some(cache::extend(self.projection.write(x.clone(), cx, &mut rotate), keep, cx)),
            Keys::Memory => source::remembered(cx, |hidden, cx| self.projection.write(hidden, cx, &mut rotate)),
        };
        let Some(entry) = written else { return x.zeros_like() };
        let mut read = self.projection.read(x, entry, cx, &mut rotate);
        read.query = cx.show("queries", read.query);
        read.key = cx.show("keys", read.key);
        read.value = cx.show("values", read.value);
        let plan = plan(&self.facts(&read, cx));
        let dims = [read.query.dims(), read.key.dims()];
        let call = Call {
            hidden: cx.hidden(&self.pattern, keys),
            dropout: cx.dropout_factors("weights", self.dropout, [dims[0][0], dims[0][1], dims[0][2], dims[1][2]]),
            query: read.query,
            key: read.key,
            value: read.value,
            scale: read.scale,
            score: self.score.clone(),
            log_sum: false,
        };
        let out = attend(plan.kernel, call, Some(&mut |weights| cx.show("weights", weights))).out;
        let out = self.projection.merge(out);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, length: usize) -> Cost {
        let keys = self.keep().count(length) as f64;
        let (projection, per_key) = self.projection.flops();
        Cost {
            flops: projection + per_key * keys,
            state_bytes: self.projection.entry_width() as f64 * 4.0 * keys / length.max(1) as f64,
        }
    }

    fn pattern(&self) -> Option<&Pattern> {
        (!self.source.is_cross()).then_some(&self.pattern)
    }

    fn plan(&self, gradients: bool) -> Option<Plan> {
        let dropout = gradients && self.dropout > 0.0;
        let cpu = self.projection.on_cpu();
        Some(plan(&Facts { gradients, cpu, softcap: self.score.softcap().is_some(), dropout, ..Facts::default() }))
    }

    fn describe(&self) -> String {
        let mut line = self.projection.describe();
        if self.source.is_cross() {
            line += ", over the memory";
        }
        if let Pattern::Window(w) = &self.pattern {
            line += &format!(", window {} before, {} after", w.before, w.after);
        }
        if let Some(cap) = self.score.softcap() {
            line += &format!(", softcap {cap}");
        }
        line
    }
}

impl Attention {
    fn keep(&self) -> Keep {
        Keep::of(&self.pattern)
    }

    fn facts(&self, read: &Read, cx: &Cx) -> Facts {
        Facts {
            gradients: read.query.is_autodiff(),
            cpu: kiln_kernels::cpu::takes(&read.query),
            queries: read.query.dims()[2],
            softcap: self.score.softcap().is_some(),
            dropout: cx.draws.is_some() && self.dropout > 0.0,
            log_sum: false,
            listened: cx.listened("weights"),
            forced: cx.kernel,
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
}

/// How queries, keys and values are made and merged.
pub trait Project {
    /// What is kept of each token, with positions in it.
    fn write(&self, x: Tensor<3>, cx: &mut Cx, rotate: Rotate) -> Entry;

    /// Queries of this call against all entries.
    fn read(&self, x: Tensor<3>, entries: Entry, cx: &mut Cx, rotate: Rotate) -> Read;

    /// `[B, H, T, E] → [B, T, M]`.
    fn merge(&self, out: Tensor<4>) -> Tensor<3>;

    /// Numbers kept of a token.
    fn entry_width(&self) -> usize;

    /// Whether its weights are where fused CPU kernels work.
    fn on_cpu(&self) -> bool;

    /// Multiplications and additions: a token, and a token and key.
    fn flops(&self) -> (f64, f64);

    /// A few words for people.
    fn describe(&self) -> String;
}
