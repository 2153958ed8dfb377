//! Attention: source → projection → position → pattern → score, and a kernel that the planner picks.
//!
//! B batch, H heads, G kv heads, T queries, S keys, D width of a head, M hidden.

mod cache;
pub mod epilogue;
mod look;
mod prefix;
pub mod projection;
mod source;

pub use projection::{
    Form, Heads, HeadsConfig, Latent, LatentConfig, Project, Projection, ProjectionConfig, Read, Rotate,
};
pub use source::{Segments, Source};

use crate::{
    cx::{Cx, Keys},
    init::Init,
    part::Forward,
    position::{Position, PositionConfig},
    variant::{Around, Card, Cost, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::{
    attention::Score,
    planner::{Facts, Plan, plan},
};
use kiln_spec::{Pattern, Refusal};
use prefix::Prefix;
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
    prefix: Option<Prefix>,
    /// A logit a head that no key stands for, `[H]`.
    sink: Option<Param<Tensor<1>>>,
    #[module(skip)]
    pattern: Pattern,
    #[module(skip)]
    score: Score,
    /// Whether its positions add to the scores.
    #[module(skip)]
    biased: bool,
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
        let heads = config.projection.heads();
        if let Some(position) = &mut config.position {
            position.resolve(&Around { heads, ..*around });
        }
    }

    fn check(config: &AttentionConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        let position = config.position.as_ref().unwrap_or(around.position);
        if let Some(own) = config.position.as_ref().filter(|own| own.embeds()) {
            let reason = format!("`{0}` positions are added to the embeddings, not in a layer", own.name());
            let instead = format!("position = \"{}\" of the model", own.name());
            return Err(Refusal::new(format!("{path}.position"), reason).instead(instead));
        }
        position.check(around, &format!("{path}.position"))?;
        let around = Around { position, ..*around };
        config.projection.check(&around, &format!("{path}.projection"))?;
        config.source.check(config.position.is_some(), path)?;
        config.score.check(&format!("{path}.score"))
    }

    fn init(config: &AttentionConfig, around: &Around, init: &mut Init) -> Self {
        let around = &Around { heads: config.projection.heads(), ..*around };
        let projection = config.projection.init(around, init);
        let prefix = match &config.source {
            Source::Segments(Segments { prefix }) => {
                Some(init.scope("prefix", |init| Prefix::new(*prefix, &projection.entry_shapes(), init)))
            }
            _ => None,
        };
        Self {
            prefix,
            sink: config.score.sink().then(|| init.constant([config.projection.heads()], 0.0)),
            projection,
            source: config.source.clone(),
            position: config.position.as_ref().map(|p| init.scope("position", |init| p.init(around, init))),
            pattern: config.pattern.clone(),
            score: config.score.clone(),
            biased: !config.source.is_cross() && config.position.as_ref().unwrap_or(around.position).biases(),
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
        let entry = match &self.prefix {
            Some(prefix) => prefix.before(entry),
            None => entry,
        };
        let mut read = self.projection.read(x, entry, cx, &mut rotate);
        read.query = cx.show("queries", read.query);
        read.key = cx.show("keys", read.key);
        read.value = cx.show("values", read.value);
        let bias = position.as_ref().and_then(|position| position.bias(read.query.dims()[1], cx));
        let (sight, form) = (cx.sight(&self.pattern, keys), read.form);
        let out = self.looked(read, sight, bias, cx);
        let out = self.projection.merge(out, form, cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, length: usize) -> Cost {
        let prefix = self.prefix.as_ref().map_or(0, Prefix::length);
        let keys = (self.keep().count(length) + prefix) as f64;
        let (projection, per_key) = self.projection.flops();
        let kept: usize = self.projection.entry_shapes().iter().map(|[heads, width]| heads * width).sum();
        Cost { flops: projection + per_key * keys, state_bytes: 4.0 * kept as f64 * keys / length.max(1) as f64 }
    }

    fn pattern(&self) -> Option<&Pattern> {
        (!self.source.is_cross()).then_some(&self.pattern)
    }

    fn plan(&self, gradients: bool) -> Option<Plan> {
        let cpu = self.projection.on_cpu();
        // What writes has one query a call.
        let queries = usize::from(!gradients);
        let dropout = gradients && self.dropout > 0.0;
        Some(plan(&Facts { gradients, cpu, queries, dropout, known: true, ..self.asks() }))
    }

    fn describe(&self) -> String {
        let mut line = self.projection.describe();
        if self.source.is_cross() {
            line += ", over the memory";
        } else if !matches!(self.pattern, Pattern::Global(_)) {
            line += &format!(", {}", self.pattern);
        }
        if let Some(prefix) = &self.prefix {
            line += &format!(", a prefix of {}", prefix.length());
        }
        match &self.score {
            Score::Softmax(softmax) => {
                line += &softmax.softcap.map(|cap| format!(", softcap {cap}")).unwrap_or_default();
                line += if softmax.sink { ", sink" } else { "" };
            }
            Score::Sigmoid(_) => line += ", sigmoid",
        }
        line
    }
}
