//! Attention: source → projection → position → pattern → score, and a kernel that the planner picks.
//!
//! B batch, H heads, G kv heads, T queries, S keys, D width of a head, M hidden.

mod cache;
pub mod epilogue;
mod prefix;
pub mod projection;
mod source;

pub use projection::{Heads, HeadsConfig, Latent, LatentConfig, Projection, ProjectionConfig};
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
    attention::{Bias, Call, Output, Score, Sight, attend},
    planner::{Facts, Plan, plan},
};
use kiln_spec::{Pattern, Refusal, plan::Keep};
use prefix::Prefix;
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
        let out = self.projection.merge(out, form);
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
        Some(plan(&Facts { gradients, cpu, dropout: gradients && self.dropout > 0.0, known: true, ..self.asks() }))
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

impl Attention {
    fn keep(&self) -> Keep {
        Keep::of(&self.pattern)
    }

    /// What the queries see of all keys: of the prefix and of the others, put together.
    fn looked(&self, mut read: Read, sight: Sight, bias: Option<Bias>, cx: &mut Cx) -> Tensor<4> {
        let before = self.prefix.as_ref().map(|prefix| {
            let (length, [b, _, t, _]) = (prefix.length(), read.query.dims());
            let before = read.split(length);
            let open = Sight::open([b, t, length], &read.key.device().without_autodiff());
            self.attend("prefix_weights", before, open, None, cx)
        });
        let own = self.attend("weights", read, sight, bias, cx);
        let all = match before {
            Some(before) => epilogue::merge(before, own),
            None => own,
        };
        match &self.sink {
            Some(sink) => epilogue::sink(all, sink.val()),
            None => all.out,
        }
    }

    /// One call of a kernel.
    fn attend(&self, leaf: &str, read: Read, sight: Sight, bias: Option<Bias>, cx: &mut Cx) -> Output {
        let ([b, h, t, _], s) = (read.query.dims(), read.key.dims()[2]);
        let dropout = cx.dropout_factors(leaf, self.dropout, [b, h, t, s]);
        let facts = Facts {
            gradients: read.query.is_autodiff(),
            cpu: kiln_kernels::cpu::takes(&read.query),
            queries: t,
            bias: bias.is_some(),
            known: sight.tiles_known(),
            dropout: dropout.is_some(),
            listened: cx.listened(leaf),
            forced: cx.kernel,
            ..self.asks()
        };
        let call = Call {
            sight,
            bias,
            dropout,
            query: read.query,
            key: read.key,
            value: read.value,
            scale: read.scale,
            score: self.score.clone(),
            log_sum: facts.log_sum,
        };
        attend(plan(&facts).kernel, call, Some(&mut |weights| cx.show(leaf, weights)))
    }

    /// What this layer asks of every kernel.
    fn asks(&self) -> Facts {
        let several = self.prefix.is_some() && self.score.normalises();
        Facts {
            softcap: self.score.softcap().is_some(),
            bias: self.biased,
            sigmoid: !self.score.normalises(),
            log_sum: several || self.sink.is_some(),
            ..Facts::default()
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
    fn split(&mut self, length: usize) -> Self {
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
    fn merge(&self, out: Tensor<4>, form: Form) -> Tensor<3>;

    /// Heads and width of each tensor that is kept of a token.
    fn entry_shapes(&self) -> Vec<[usize; 2]>;

    /// Whether its weights are where fused CPU kernels work.
    fn on_cpu(&self) -> bool;

    /// Multiplications and additions: a token, and a token and key.
    fn flops(&self) -> (f64, f64);

    /// A few words for people.
    fn describe(&self) -> String;
}
