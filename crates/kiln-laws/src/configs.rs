//! Random legal models, tiny ones.

use crate::layouts;
use kiln_kernels::attention::{Score, Softmax};
use kiln_models::{BlockConfig, ModelConfig, SublayerConfig, Visibility};
use kiln_nn::{
    head::{HeadConfig, LanguageConfig},
    junction::{JunctionConfig, NormedConfig},
    norm::{LayerNormConfig, NormConfig, RmsNormConfig},
    part::{
        PartConfig,
        attention::{AttentionConfig, HeadsConfig, ProjectionConfig},
        experts::{ExpertConfig, ExpertsConfig},
        feed_forward::{activation::Activation, gated::GatedConfig, plain::PlainConfig},
        linear::GlaConfig,
    },
    position::{LearnedConfig, PositionConfig, RotaryConfig},
    variant::Causality,
};
use kiln_spec::{Direction, config::Nothing};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Tokens of every model here.
pub const VOCAB: usize = 11;

/// Positions of every model here that has a table of them.
pub const LONGEST: usize = 24;

/// Any legal model, with whatever its configuration leaves open written down.
pub fn model() -> impl Strategy<Value = ModelConfig> {
    let visibility = select(vec![Visibility::Causal, Visibility::Bidirectional, Visibility::Prefix]);
    let head = any::<bool>().prop_map(|tied| HeadConfig::Language(LanguageConfig { tied }));
    let stack = (2usize..=4, position(), visibility, prop_oneof![2 => Just(0.0), 1 => Just(0.2)]);
    (stack, vec(block(), 1..3), norm(), head).prop_map(|((half, position, visibility, dropout), blocks, norm, head)| {
        let hidden = 2 * half;
        let mut config = ModelConfig {
            vocab: VOCAB,
            hidden,
            position,
            visibility,
            dropout,
            blocks,
            norm,
            head,
            ..ModelConfig::default()
        };
        if parts(&config).any(|part| part.card().causality == Causality::CausalOnly) {
            config.visibility = Visibility::Causal;
        }
        config.resolve();
        config
    })
}

/// All parts of a model.
fn parts(config: &ModelConfig) -> impl Iterator<Item = &PartConfig> {
    config.blocks.iter().flat_map(|block| &block.sublayers).flat_map(|sublayer| &sublayer.parts)
}

/// A model whose blocks all have attention first: what needs a mixer to show anything.
pub fn mixing_model() -> impl Strategy<Value = ModelConfig> {
    (model(), attention()).prop_map(|(mut config, attention)| {
        let part = PartConfig::Attention(attention);
        let sublayer = SublayerConfig { junction: JunctionConfig::default(), parts: vec![part] };
        config.blocks[0].sublayers.insert(0, sublayer);
        config.resolve();
        config
    })
}

/// Positions of a stack.
pub fn position() -> impl Strategy<Value = PositionConfig> {
    prop_oneof![
        Just(PositionConfig::None(Nothing {})),
        Just(PositionConfig::Learned(LearnedConfig { length: LONGEST })),
        (2.0f64..20_000.0).prop_map(|theta| PositionConfig::Rotary(RotaryConfig { theta })),
    ]
}

/// A norm.
pub fn norm() -> impl Strategy<Value = NormConfig> {
    prop_oneof![
        1 => Just(NormConfig::None(Nothing {})),
        3 => select(vec![1e-6, 1e-3]).prop_map(|eps| NormConfig::Rms(RmsNormConfig { eps })),
        3 => (select(vec![1e-5, 1e-3]), any::<bool>()).prop_map(|(eps, bias)| NormConfig::Layer(LayerNormConfig { eps, bias })),
    ]
}

/// A junction.
pub fn junction() -> impl Strategy<Value = JunctionConfig> {
    prop_oneof![
        norm().prop_map(|norm| JunctionConfig::Pre(NormedConfig { norm })),
        norm().prop_map(|norm| JunctionConfig::Post(NormedConfig { norm })),
    ]
}

/// Attention: any grouping of heads, own positions, any geometry, softcap.
pub fn attention() -> impl Strategy<Value = AttentionConfig> {
    let heads = (1usize..=2, 1usize..=3, 1usize..=2, any::<bool>()).prop_map(|(kv_heads, group, half, bias)| {
        let config = HeadsConfig { heads: kv_heads * group, kv_heads: Some(kv_heads), head_dim: Some(2 * half), bias };
        ProjectionConfig::Heads(config)
    });
    let own = position().prop_filter("learned positions belong to the stack", |p| p.limit().is_none());
    let softcap = option::weighted(0.3, 0.5f64..5.0).prop_map(|softcap| Score::Softmax(Softmax { softcap }));
    (heads, option::weighted(0.2, own), layouts::pattern(), softcap).prop_map(
        |(projection, position, pattern, score)| AttentionConfig {
            projection,
            position,
            pattern,
            score,
            ..AttentionConfig::default()
        },
    )
}

/// A gated feed-forward.
fn gated() -> impl Strategy<Value = GatedConfig> {
    (option::weighted(0.8, 1usize..9), activation(), any::<bool>()).prop_map(|(inner, activation, bias)| GatedConfig {
        inner,
        activation,
        bias,
    })
}

/// A feed-forward of two matrices.
fn plain() -> impl Strategy<Value = PlainConfig> {
    (option::weighted(0.8, 1usize..9), activation(), any::<bool>()).prop_map(|(inner, activation, bias)| PlainConfig {
        inner,
        activation,
        bias,
    })
}

fn activation() -> impl Strategy<Value = Activation> {
    select(vec![Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu])
}

/// A mixture of experts: any number of them, alone, some or all of them, with and without a shared one.
pub fn experts() -> impl Strategy<Value = ExpertsConfig> {
    let expert = || prop_oneof![gated().prop_map(ExpertConfig::Gated), plain().prop_map(ExpertConfig::Plain)];
    let numbers = (1usize..5).prop_flat_map(|experts| (Just(experts), 1..=experts, any::<bool>()));
    (numbers, expert(), option::weighted(0.3, expert())).prop_map(|((experts, top_k, normalize), expert, shared)| {
        let normalize = Some(normalize && top_k > 1);
        ExpertsConfig { experts, top_k, normalize, expert, shared, ..ExpertsConfig::default() }
    })
}

/// Gated linear attention: any heads and widths, gates that forget little or much.
pub fn gla() -> impl Strategy<Value = GlaConfig> {
    let numbers = (1usize..=3, 1usize..=4, 1usize..=4, 1usize..=3);
    (numbers, select(vec![1.0, 4.0, 16.0]), norm()).prop_map(|((heads, key, value, rank), temperature, norm)| {
        GlaConfig { heads, head_dim: Some(key), value_dim: Some(value), rank, temperature, norm }
    })
}

/// Any part.
pub fn part() -> impl Strategy<Value = PartConfig> {
    prop_oneof![
        3 => attention().prop_map(PartConfig::Attention),
        1 => gla().prop_map(PartConfig::Gla),
        1 => plain().prop_map(PartConfig::Plain),
        1 => gated().prop_map(PartConfig::Gated),
        1 => experts().prop_map(PartConfig::Experts),
    ]
}

/// A block of one to three sublayers of one or two parts.
pub fn block() -> impl Strategy<Value = BlockConfig> {
    let sublayer = (junction(), vec(part(), 1..3)).prop_map(|(junction, parts)| SublayerConfig { junction, parts });
    (1usize..3, vec(sublayer, 1..4)).prop_map(|(repeat, sublayers)| BlockConfig {
        repeat,
        sublayers,
        ..BlockConfig::default()
    })
}

/// Documents of at least a token, no longer than [`LONGEST`].
pub fn documents() -> impl Strategy<Value = Vec<Vec<u32>>> {
    vec(vec(0..VOCAB as u32, 1..9), 1..4)
}

/// The direction of a document under a model's default, with a prompt of three tokens.
pub fn direction(config: &ModelConfig) -> Direction {
    config.visibility.direction(3)
}

/// The same with norms everywhere, their ε so large that they bend gently: finite differences see no more than four
/// derivatives, and a stream that nothing norms grows until its loss has no digits left for a slope.
pub fn gentle(config: &ModelConfig) -> ModelConfig {
    let mut config = config.clone();
    let junctions = config.blocks.iter_mut().flat_map(|b| &mut b.sublayers).map(|s| match &mut s.junction {
        JunctionConfig::Pre(pre) => &mut pre.norm,
        JunctionConfig::Post(post) => &mut post.norm,
    });
    for norm in junctions.chain([&mut config.norm]) {
        match norm {
            NormConfig::Rms(rms) => rms.eps = 0.3,
            NormConfig::Layer(layer) => layer.eps = 0.3,
            none @ NormConfig::None(_) => *none = NormConfig::Rms(RmsNormConfig { eps: 0.3 }),
        }
    }
    config
}

/// Whether every function in it has a derivative everywhere, so that finite differences tell the slope.
pub fn is_smooth(config: &ModelConfig) -> bool {
    let expert = |expert: &ExpertConfig| match expert {
        ExpertConfig::Plain(plain) => plain.activation != Activation::Relu,
        ExpertConfig::Gated(gated) => gated.activation != Activation::Relu,
    };
    parts(config).all(|part| match part {
        PartConfig::Plain(plain) => plain.activation != Activation::Relu,
        PartConfig::Gated(gated) => gated.activation != Activation::Relu,
        // A choice jumps.
        PartConfig::Experts(e) => e.top_k == e.experts && expert(&e.expert) && e.shared.iter().all(expert),
        PartConfig::Attention(_) | PartConfig::Gla(_) => true,
    })
}
