//! Attention layer: source → projection → position → pattern → score, computed by a kernel that the planner picks
//! (1706.03762, section 3.2).
//!
//! * **source**: keys and values from the tokens, the encoder output, tokens plus a trained prefix, or an earlier layer;
//! * **projection**: multi-head, grouped-query or latent (MLA);
//! * **position**: that of the stack, or its own;
//! * **pattern**: which keys a query sees by position, such as a window;
//! * **score**: softmax (softcap, temperature, sink), sigmoid, top-k, talking heads or differential ([`score`]).
//!
//! o = W_o · concat_h Σ_j p_hij v_hj, formulas of p in [`kiln_kernels::attention`]. Dropout acts on the weights and on the
//! output.
//!
//! Parameters: those of the projection (`q`, `k`, `v`, `o`, …), `sink [H]` with a sink, `prefix.entries` with a trained
//! prefix, `position` with a position of its own, `score.…` of the scores `talking_heads` and `differential`, `value_residual`
//! with a value residual. Without keys and values of its own (source `shared`) it has no `k` and `v`. Probes: `queries`,
//! `keys`, `values`, `weights`, `prefix_weights`.
//!
//! Shapes: B batch, H query heads, G key-value heads, T queries, S keys, D width of a head, E width of a value, M hidden.

mod cache;
pub mod epilogue;
mod kernel_calls;
mod links;
mod paged_calls;
mod prefix;
pub mod projection;
pub mod score;
mod source;
mod value_residual;

pub(crate) use cache::PagedKeyValue;
pub use projection::{
    AnyProjection, LatentForm, LatentProjection, LatentProjectionConfig, MultiHeadProjection,
    MultiHeadProjectionConfig, PagedQuery, Projection, ProjectionConfig, QueryKeyNormConfig, QueryKeyNormScope,
    QueryKeyValue, TransformFn,
};
pub use score::{AnyScore, ScoreConfig};
pub use source::{AttentionSource, SegmentsConfig, SharedSourceConfig};
pub use value_residual::{ValueResidual, ValueResidualConfig};

use crate::{
    context::{Context, KeySource, LayerLinks},
    init::Initializer,
    part::Layer,
    position::{Position, PositionConfig, Side},
    variant::{BuildContext, Card, Cost, KernelForm, Variant, invalid},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::planner::{KernelPlan, PlannerInput, plan_attention};
use kiln_spec::{Pattern, ValidationError};
use paged_calls::SharedKeys;
use prefix::TrainedPrefix;
use projection::KeyValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Attention`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionConfig {
    /// Source of keys and values.
    pub source: AttentionSource,
    /// Projections of queries, keys, values and output.
    pub projection: ProjectionConfig,
    /// Position encoding. Absent: `position` of the model, or of its encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionConfig>,
    /// Which tokens may attend to which, by their positions. The causal mask, document boundaries and padding are
    /// applied in addition.
    pub pattern: Pattern,
    /// Score function: from scores to attention weights.
    pub score: ScoreConfig,
    /// Add the values of the stack's first attention layer (value residual). Absent: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_residual: Option<ValueResidualConfig>,
}

/// Attention layer; see the [module](self).
#[derive(Module, Debug)]
pub struct Attention {
    projection: AnyProjection,
    /// Position encoding of its own; without one, that of the stack.
    position: Option<Position>,
    #[module(skip)]
    source: AttentionSource,
    /// Trained prefix, with source `segments`.
    prefix: Option<TrainedPrefix>,
    /// Factors of the value residual; absent in the first layer of a stack.
    value_residual: Option<ValueResidual>,
    /// What the layer publishes and reads of other layers.
    #[module(skip)]
    links: LayerLinks,
    /// Sink logit of each head, `[H]`, starting at 0.
    sink: Option<Param<Tensor<1>>>,
    #[module(skip)]
    pattern: Pattern,
    score: AnyScore,
    /// Number of heads whose values are side by side in the cache.
    #[module(skip)]
    values_per_head: usize,
    /// Why only the reference kernel computes the layer, if so: its score function or position encoding.
    #[module(skip)]
    reference_only: Option<String>,
    /// Whether its position encoding adds a bias to the scores.
    #[module(skip)]
    has_score_bias: bool,
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

    fn resolve(config: &mut AttentionConfig, build: &BuildContext) {
        config.projection.resolve(build);
        let heads = config.projection.heads();
        if let Some(position) = &mut config.position {
            position.fit_heads(heads, config.projection.query_width(build.hidden));
            position.resolve(&BuildContext { heads, ..*build });
        }
        config.score.fit_heads(config.projection.query_width(build.hidden));
        config.score.resolve(&BuildContext { heads, ..*build });
    }

    fn check(config: &AttentionConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let position = config.position.as_ref().unwrap_or(build.position);
        if let Some(own) = config.position.as_ref().filter(|own| own.is_added_to_embedding()) {
            let reason =
                format!("`{0}` positions are added to the embeddings; an attention layer can't have them", own.name());
            let suggestion = format!("set position = \"{}\" on the model", own.name());
            return Err(ValidationError::new(format!("{path}.position"), reason).with_suggestion(suggestion));
        }
        position.check(build, &format!("{path}.position"))?;
        let build = BuildContext { position, heads: config.projection.heads(), ..*build };
        config.projection.check(&build, &format!("{path}.projection"))?;
        config.source.check(config.position.is_some(), path)?;
        links::check(config, path)?;
        config.score.check(&build, &format!("{path}.score"))?;
        let key_value = config.projection.key_value_heads(build.hidden);
        if let Err(reason) = config.score.check_heads(config.projection.heads(), key_value) {
            return invalid(path, &format!("score.{}", config.score.name()), reason);
        }
        check_prefix(config, path)
    }

    fn init(config: &AttentionConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let build = &BuildContext { heads: config.projection.heads(), ..*build };
        let links = init.layer_links.get(&init.path()).cloned().unwrap_or_default();
        let projection = match (&config.projection, &config.source) {
            (ProjectionConfig::Heads(heads), AttentionSource::Shared(_)) => {
                AnyProjection::Heads(MultiHeadProjection::without_key_value(heads, build, init))
            }
            (projection, _) => projection.init(build, init),
        };
        let prefix = match &config.source {
            AttentionSource::Segments(SegmentsConfig { prefix_length }) => {
                let shapes = projection.key_value_shapes();
                Some(init.scope("prefix", |init| TrainedPrefix::new(*prefix_length, &shapes, init)))
            }
            _ => None,
        };
        let value_residual = config.value_residual.as_ref().filter(|_| links.reads_values);
        Self {
            prefix,
            value_residual: value_residual.map(|config| init.scope("value_residual", |init| config.init(init))),
            links,
            sink: config.score.has_sink().then(|| init.constant([config.projection.heads()], 0.0)),
            projection,
            source: config.source.clone(),
            position: config.position.as_ref().map(|p| init.scope("position", |init| p.init(build, init))),
            pattern: config.pattern.clone(),
            score: init.scope("score", |init| config.score.init(build, init)),
            values_per_head: config.score.values_per_head(),
            reference_only: reference_only(config, build),
            has_score_bias: !config.source.is_cross()
                && config.position.as_ref().unwrap_or(build.position).has_score_bias(),
            dropout: build.dropout,
        }
    }
}

impl Layer for Attention {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let keys = self.source.key_source(self.cache_policy());
        let position = self.position.clone().or_else(|| cx.position.clone()).filter(|_| keys != KeySource::Memory);
        let mut transform = |side: Side, x: Tensor<4>, cx: &mut Context| match &position {
            Some(position) => position.transform(side, x, cx),
            None => x,
        };
        let key_value = match keys {
            KeySource::OwnStream(_) if self.source.is_shared() => {
                match self.links.reads_key_value.and_then(|link| self.shared_keys(link, &x, cx)) {
                    Some(SharedKeys::Pages(pages)) => {
                        return self.attend_pages(x, &pages, position.as_ref(), &mut transform, cx);
                    }
                    Some(SharedKeys::Tensors(tensors)) => Some(tensors),
                    None => None,
                }
            }
            KeySource::OwnStream(policy) => {
                let new = self.projection.project_key_value(x.clone(), cx, &mut transform);
                let new = self.join_values(self.link_values(new, cx));
                if self.reads_own_pages(&new, cx) {
                    let pages = cache::append_pages(new, policy, cx);
                    if let Some(layer) = self.links.publishes_key_value {
                        cx.publish_pages(layer, pages.clone());
                    }
                    return self.attend_pages(x, &pages, position.as_ref(), &mut transform, cx);
                }
                Some(self.publish_key_value(cache::extend_cache(new, policy, cx), cx))
            }
            KeySource::Memory => source::memory_key_values(cx, |hidden, cx| {
                self.join_values(self.projection.project_key_value(hidden, cx, &mut transform))
            }),
        };
        let Some(key_value) = key_value else { return x.zeros_like() };
        let key_value = match &self.prefix {
            Some(prefix) => prefix.prepend_to(key_value),
            None => key_value,
        };
        let mut inputs = self.projection.project_query(x, key_value, cx, &mut transform);
        inputs.query = cx.probe_value("queries", inputs.query);
        inputs.key = cx.probe_value("keys", inputs.key);
        inputs.value = cx.probe_value("values", inputs.value);
        let bias = position.as_ref().and_then(|position| position.bias(inputs.query.dims()[1], inputs.scale, cx));
        let block_mask = cx.block_mask(&self.pattern, keys);
        let latent_form = inputs.latent_form;
        let out = self.attend_all(inputs, block_mask, bias, cx);
        self.project_output(out, latent_form, cx)
    }

    fn cost(&self, length: usize) -> Cost {
        let prefix = self.prefix.as_ref().map_or(0, TrainedPrefix::length);
        let keys = (self.cache_policy().retained_len(length) + prefix) as f64;
        let (projection, per_key) = self.projection.flops();
        // Keys of one head, values of `values_per_head`.
        let widening = (1 + self.values_per_head) as f64 / 2.0;
        let cached = match self.source {
            AttentionSource::Shared(_) => 0.0,
            _ => self.projection.key_value_shapes().iter().map(|[heads, width]| heads * width).sum::<usize>() as f64,
        };
        let (per_key, cached) = (widening * per_key, widening * cached);
        Cost { flops: projection + per_key * keys, state_bytes: 4.0 * cached * keys / length.max(1) as f64 }
    }

    fn pattern(&self) -> Option<&Pattern> {
        (!self.source.is_cross()).then_some(&self.pattern)
    }

    fn plan(&self, needs_gradients: bool) -> Option<KernelPlan> {
        Some(plan_attention(&PlannerInput {
            needs_gradients,
            is_cpu_f32: self.projection.has_cpu_kernel(),
            // Decoding has one query per call; in training the number isn't known.
            num_queries: usize::from(!needs_gradients),
            keys_in_pages: !needs_gradients && !self.source.is_cross(),
            has_dropout: needs_gradients && self.dropout > 0.0,
            tiles_known: true,
            ..self.kernel_requirements()
        }))
    }

    fn describe(&self) -> String {
        let mut line = self.projection.describe();
        if self.source.is_cross() {
            line += ", over the memory";
        } else if !matches!(self.pattern, Pattern::Global(_)) {
            line += &format!(", {}", self.pattern);
        }
        line += links::description(&self.source, self.value_residual.is_some());
        if let Some(prefix) = &self.prefix {
            line += &format!(", a prefix of {}", prefix.length());
        }
        let score = self.score.describe();
        if score.is_empty() { line } else { format!("{line}, {score}") }
    }
}

impl Attention {
    /// What is cached of the tokens, with values as the score function joins them.
    fn join_values(&self, mut new: KeyValue) -> KeyValue {
        if self.values_per_head > 1 {
            let value = new.pop().map(|value| self.score.join_values(value));
            new.extend(value);
        }
        new
    }

    /// Output of the layer from the kernel's, `[B, H, T, E] → [B, T, M]`.
    fn project_output(&self, out: Tensor<4>, latent_form: LatentForm, cx: &mut Context) -> Tensor<3> {
        let out = self.projection.project_output(self.score.combine_heads(out), latent_form, cx);
        cx.dropout("out", self.dropout, out)
    }
}

/// Checks that outputs over the trained prefix and over the tokens can be merged, if there is a prefix.
fn check_prefix(config: &AttentionConfig, path: &str) -> Result<(), ValidationError> {
    if !matches!(config.source, AttentionSource::Segments(_)) || config.score.merges_key_sets() {
        return Ok(());
    }
    let reason = format!(
        "`{}` scores compare all keys of a query; they can't be computed apart for a trained prefix",
        config.score.name()
    );
    Err(ValidationError::new(format!("{path}.score"), reason).with_suggestion("source = \"self\""))
}

/// Why only the reference kernel computes a layer, by the cards of its score function and its position encoding; `None` if
/// others can.
fn reference_only(config: &AttentionConfig, build: &BuildContext) -> Option<String> {
    let position = config.position.as_ref().unwrap_or(build.position);
    let position = Some(("position", position.card())).filter(|_| !config.source.is_cross());
    let cards = [Some(("score", config.score.card())), position];
    let (kind, card) = cards.into_iter().flatten().find(|(_, card)| card.kernel == Some(KernelForm::Reference))?;
    let bytes = 4 * config.projection.heads();
    Some(format!("{kind} `{}` needs all scores at once: {bytes} bytes × queries × keys", card.name))
}
