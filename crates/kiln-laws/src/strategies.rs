//! Random legal models, tiny ones.

mod embedding_and_head;
mod encoder_stacks;

pub use embedding_and_head::{embedding, language};
pub use encoder_stacks::{encoder, encoder_decoder, head};

use crate::layouts;
use kiln_kernels::attention::{Score, Sigmoid, Softmax};
use kiln_models::{BlockConfig, ModelConfig, SublayerConfig, Visibility};
use kiln_nn::{
    depth::{DepthConfig, LayerDropConfig, MixtureOfDepthsConfig, RouterGate},
    head::{HeadConfig, LanguageModelHeadConfig},
    junction::{JunctionConfig, NormPlacementConfig, ReZeroConfig},
    norm::{LayerNormConfig, NormConfig, RmsNormConfig},
    part::{
        PartConfig,
        attention::{
            AttentionConfig, AttentionSource, LatentProjectionConfig, MultiHeadProjectionConfig, ProjectionConfig,
            SegmentsConfig,
        },
        experts::{ExpertConfig, MixtureOfExpertsConfig},
        feed_forward::{activation::Activation, gated_mlp::GatedMlpConfig, mlp::MlpConfig},
        gated_linear_attention::GatedLinearAttentionConfig,
    },
    position::{
        AlibiConfig, LearnedPositionConfig, PositionConfig, RelativeBiasConfig, RotaryEmbeddingConfig, RotaryScaling,
        SinusoidalPositionConfig,
        rotary_scaling::{LinearScaling, Llama3Scaling, YarnScaling},
    },
    variant::Causality,
};
use kiln_spec::{Direction, config::NoOptions};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Tokens of every model here.
pub const VOCAB: usize = 11;

/// Positions of every model here that has a table of them.
pub const MAX_POSITIONS: usize = 24;

/// Any legal model, with whatever its configuration leaves open written down: decoders mostly, encoders and both.
pub fn model() -> impl Strategy<Value = ModelConfig> {
    prop_oneof![3 => decoder(), 1 => encoder(), 2 => encoder_decoder()]
}

/// Any legal decoder.
pub fn decoder() -> impl Strategy<Value = ModelConfig> {
    let visibility = select(vec![Visibility::Causal, Visibility::Bidirectional, Visibility::Prefix]);
    let stack = (2usize..=4, position(), visibility, prop_oneof![2 => Just(0.0), 1 => Just(0.2)]);
    let ends = (embedding(), norm(), language());
    (stack, vec(block(), 1..3), ends).prop_map(
        |((half, position, visibility, dropout), blocks, (embedding, norm, head))| {
            let hidden = 2 * half;
            let mut config = ModelConfig {
                vocab: VOCAB,
                hidden,
                embedding,
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
        },
    )
}

/// All parts of a model.
fn parts(config: &ModelConfig) -> impl Iterator<Item = &PartConfig> {
    config.blocks.iter().flat_map(|block| &block.sublayers).flat_map(|sublayer| &sublayer.parts)
}

/// A model whose blocks all have attention first: what needs a mixer to show anything.
pub fn model_with_attention() -> impl Strategy<Value = ModelConfig> {
    (model(), attention()).prop_map(|(mut config, attention)| {
        let part = PartConfig::Attention(attention);
        let sublayer = SublayerConfig { junction: JunctionConfig::default(), parts: vec![part] };
        config.blocks[0].sublayers.insert(0, sublayer);
        config.blocks[0].depth = DepthConfig::default();
        config.resolve();
        config
    })
}

/// Positions of a stack.
pub fn position() -> impl Strategy<Value = PositionConfig> {
    prop_oneof![
        1 => Just(PositionConfig::None(NoOptions {})),
        1 => (0usize..3).prop_map(|offset| PositionConfig::Learned(LearnedPositionConfig { max_position_embeddings: MAX_POSITIONS, offset })),
        1 => any::<bool>().prop_map(|interleaved| PositionConfig::Sinusoidal(SinusoidalPositionConfig { theta: 100.0, interleaved })),
        3 => rotary().prop_map(PositionConfig::Rotary),
        1 => (0.0f64..8.0).prop_map(|most| PositionConfig::Alibi(AlibiConfig { alibi_bias_max: most })),
    ]
}

/// Rotary positions, whole heads turned.
fn rotary() -> impl Strategy<Value = RotaryEmbeddingConfig> {
    let yarn = YarnScaling {
        factor: 4.0,
        original_max_position_embeddings: 8,
        beta_fast: 2.0,
        beta_slow: 0.5,
        attention_factor: None,
    };
    let llama3 = Llama3Scaling {
        factor: 3.0,
        original_max_position_embeddings: 16,
        low_freq_factor: 0.5,
        high_freq_factor: 2.0,
    };
    let scaling = vec![
        RotaryScaling::default(),
        RotaryScaling::Linear(LinearScaling { factor: 2.5 }),
        RotaryScaling::Yarn(yarn),
        RotaryScaling::Llama3(llama3),
    ];
    (2.0f64..20_000.0, any::<bool>(), select(scaling)).prop_map(|(theta, interleaved, scaling)| RotaryEmbeddingConfig {
        theta,
        interleaved,
        partial_factor: 1.0,
        scaling,
    })
}

/// A norm.
pub fn norm() -> impl Strategy<Value = NormConfig> {
    prop_oneof![
        1 => Just(NormConfig::None(NoOptions {})),
        3 => select(vec![1e-6, 1e-3]).prop_map(|eps| NormConfig::Rms(RmsNormConfig { eps })),
        3 => (select(vec![1e-5, 1e-3]), any::<bool>()).prop_map(|(eps, bias)| NormConfig::Layer(LayerNormConfig { eps, bias })),
    ]
}

/// A junction.
pub fn junction() -> impl Strategy<Value = JunctionConfig> {
    prop_oneof![
        norm().prop_map(|norm| JunctionConfig::Pre(NormPlacementConfig { norm })),
        norm().prop_map(|norm| JunctionConfig::Post(NormPlacementConfig { norm })),
        norm().prop_map(|norm| JunctionConfig::Sandwich(NormPlacementConfig { norm })),
        select(vec![0.0, 1.0]).prop_map(|alpha_init| JunctionConfig::ReZero(ReZeroConfig { alpha_init })),
    ]
}

/// Heads: any grouping.
fn heads() -> impl Strategy<Value = ProjectionConfig> {
    let sizes = (1usize..=2, 1usize..=3, 1usize..=2);
    let scale = option::of(Just(0.6));
    (sizes, any::<[bool; 2]>(), scale).prop_map(|((kv_heads, group, half), [bias, other], scale)| {
        let config = MultiHeadProjectionConfig {
            heads: kv_heads * group,
            kv_heads: Some(kv_heads),
            head_dim: Some(2 * half),
            bias,
            out_bias: other.then_some(!bias),
            scale,
        };
        ProjectionConfig::Heads(config)
    })
}

/// Latents, with widths that all differ.
fn latent() -> impl Strategy<Value = ProjectionConfig> {
    (1usize..=3, option::of(1usize..4), norm()).prop_map(|(heads, query_rank, norm)| {
        ProjectionConfig::Latent(LatentProjectionConfig {
            heads,
            q_lora_rank: query_rank,
            norm,
            kv_lora_rank: Some(3),
            qk_nope_head_dim: Some(5),
            qk_rope_head_dim: Some(2),
            v_head_dim: Some(4),
        })
    })
}

/// How looks become weights.
pub fn score() -> impl Strategy<Value = Score> {
    let softmax = (option::weighted(0.3, 0.5f64..5.0), select(vec![1.0, 0.7]), any::<bool>());
    prop_oneof![
        3 => softmax.prop_map(|(softcap, temperature, sink)| Score::Softmax(Softmax { softcap, temperature, sink })),
        1 => option::of(-3.0f64..1.0).prop_map(|bias| Score::Sigmoid(Sigmoid { bias })),
    ]
}

/// Attention: any projection, own positions (T5's too, whose table fits its heads), any geometry, score and source.
pub fn attention() -> impl Strategy<Value = AttentionConfig> {
    let t5 = (any::<bool>(), 2usize..5).prop_map(|(both, side)| {
        let buckets = if both { 2 * side } else { side };
        PositionConfig::T5(RelativeBiasConfig {
            num_buckets: buckets,
            max_distance: 6,
            bidirectional: Some(both),
            heads: None,
        })
    });
    let own = prop_oneof![
        position().prop_filter("what is added to embeddings belongs to the stack", |p| !p.is_added_to_embedding()),
        t5
    ];
    let source = prop_oneof![
        2 => Just(AttentionSource::default()),
        1 => (1usize..4).prop_map(|prefix| AttentionSource::Segments(SegmentsConfig { prefix_length: prefix })),
    ];
    let projection = prop_oneof![2 => heads(), 1 => latent()];
    (projection, option::weighted(0.4, own), layouts::pattern(), score(), source).prop_map(
        |(projection, position, pattern, score, source)| AttentionConfig {
            source,
            projection,
            position,
            pattern,
            score,
        },
    )
}

/// A gated feed-forward.
fn gated_mlp() -> impl Strategy<Value = GatedMlpConfig> {
    (option::weighted(0.8, 1usize..9), activation(), any::<bool>())
        .prop_map(|(inner, activation, bias)| GatedMlpConfig { intermediate: inner, activation, bias })
}

/// A feed-forward of two matrices.
fn mlp() -> impl Strategy<Value = MlpConfig> {
    (option::weighted(0.8, 1usize..9), activation(), any::<bool>()).prop_map(|(inner, activation, bias)| MlpConfig {
        intermediate: inner,
        activation,
        bias,
    })
}

fn activation() -> impl Strategy<Value = Activation> {
    select(vec![Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu])
}

/// A mixture of experts: any number of them, alone, some or all of them, with and without a shared one.
pub fn experts() -> impl Strategy<Value = MixtureOfExpertsConfig> {
    let expert = || prop_oneof![gated_mlp().prop_map(ExpertConfig::GatedMlp), mlp().prop_map(ExpertConfig::Mlp)];
    let numbers = (1usize..5).prop_flat_map(|experts| (Just(experts), 1..=experts, any::<bool>()));
    (numbers, expert(), option::weighted(0.3, expert())).prop_map(|((experts, top_k, normalize), expert, shared)| {
        let normalize = Some(normalize && top_k > 1);
        MixtureOfExpertsConfig {
            num_experts: experts,
            top_k,
            norm_topk_prob: normalize,
            expert,
            shared_expert: shared,
            ..MixtureOfExpertsConfig::default()
        }
    })
}

/// Gated linear attention: any heads and widths, gates that forget little or much.
pub fn gla() -> impl Strategy<Value = GatedLinearAttentionConfig> {
    let numbers = (1usize..=3, 1usize..=4, 1usize..=4, 1usize..=3);
    (numbers, select(vec![1.0, 4.0, 16.0]), norm()).prop_map(|((heads, key, value, rank), temperature, norm)| {
        GatedLinearAttentionConfig { heads, head_dim: Some(key), value_dim: Some(value), rank, temperature, norm }
    })
}

/// Any part.
pub fn part() -> impl Strategy<Value = PartConfig> {
    prop_oneof![
        3 => attention().prop_map(PartConfig::Attention),
        1 => gla().prop_map(PartConfig::Gla),
        1 => mlp().prop_map(PartConfig::Mlp),
        1 => gated_mlp().prop_map(PartConfig::GatedMlp),
        1 => experts().prop_map(PartConfig::Experts),
    ]
}

/// A block of one to three sublayers of one or two parts.
pub fn block() -> impl Strategy<Value = BlockConfig> {
    let sublayer = (junction(), vec(part(), 1..3)).prop_map(|(junction, parts)| SublayerConfig { junction, parts });
    (1usize..3, depth(), vec(sublayer, 1..4)).prop_map(|(repeat, depth, sublayers)| BlockConfig {
        repeat,
        depth,
        sublayers,
    })
}

/// A depth rule.
pub fn depth() -> impl Strategy<Value = DepthConfig> {
    let gate = select(vec![RouterGate::Raw, RouterGate::Sigmoid]);
    let mixture = (select(vec![0.2, 0.5, 1.0]), gate, select(vec![0.0, 0.5]));
    prop_oneof![
        4 => Just(DepthConfig::default()),
        1 => (0.0f64..0.9).prop_map(|rate| DepthConfig::LayerDrop(LayerDropConfig { rate })),
        2 => mixture.prop_map(|(capacity, gate, predictor_loss)| {
            DepthConfig::MixtureOfDepths(MixtureOfDepthsConfig { capacity, gate, predictor_loss_coef: predictor_loss })
        }),
    ]
}

/// The same with every block running for every token.
pub fn without_depth_rules(config: &ModelConfig) -> ModelConfig {
    let mut config = config.clone();
    all_blocks(&mut config).for_each(|block| block.depth = DepthConfig::default());
    config
}

/// The blocks of all stacks.
pub fn all_blocks(config: &mut ModelConfig) -> impl Iterator<Item = &mut BlockConfig> {
    let encoder = config.encoder.iter_mut().flat_map(|encoder| &mut encoder.blocks).flatten();
    config.blocks.iter_mut().chain(encoder)
}

/// Documents of at least a token, no longer than [`LONGEST`].
pub fn documents() -> impl Strategy<Value = Vec<Vec<u32>>> {
    vec(vec(0..VOCAB as u32, 1..9), 1..4)
}

/// The direction of a document under a model's default, with a prompt of three tokens.
pub fn direction(config: &ModelConfig) -> Direction {
    config.effective_visibility().direction(3)
}

/// The same with norms everywhere, their ε so large that they bend gently.
pub fn with_soft_norms(config: &ModelConfig) -> ModelConfig {
    let soften = |norm: &mut NormConfig| match norm {
        NormConfig::Rms(rms) => rms.eps = 0.3,
        NormConfig::Layer(layer) => layer.eps = 0.3,
        other => *other = NormConfig::Rms(RmsNormConfig { eps: 0.3 }),
    };
    let mut config = config.clone();
    for sublayer in all_blocks(&mut config).flat_map(|block| &mut block.sublayers) {
        match &mut sublayer.junction {
            JunctionConfig::Pre(one) | JunctionConfig::Post(one) | JunctionConfig::Sandwich(one) => {
                soften(&mut one.norm);
            }
            _ => {}
        }
        for part in &mut sublayer.parts {
            if let PartConfig::Gla(gla) = part {
                soften(&mut gla.norm);
            }
        }
    }
    config.encoder.iter_mut().filter_map(|encoder| encoder.norm.as_mut()).for_each(soften);
    if let HeadConfig::Language(LanguageModelHeadConfig { transform: Some(transform), .. }) = &mut config.head {
        soften(&mut transform.norm);
    }
    [&mut config.norm, &mut config.embedding.norm].into_iter().for_each(soften);
    config
}

/// The same, and branches without norms begin at 0: finite differences see no more than four derivatives, and a stream
/// that nothing norms grows until its loss has no digits left for a slope.
pub fn with_zero_branches(config: &ModelConfig) -> ModelConfig {
    let mut config = with_soft_norms(config);
    for sublayer in all_blocks(&mut config).flat_map(|block| &mut block.sublayers) {
        if let JunctionConfig::ReZero(rezero) = &mut sublayer.junction {
            rezero.alpha_init = 0.0;
        }
    }
    config
}

/// Whether every function in it has a derivative everywhere, so that finite differences tell the slope.
pub fn is_differentiable(config: &ModelConfig) -> bool {
    let encoder = config.encoder_model_config().map_or_else(Vec::new, |encoder| encoder.blocks);
    let blocks = || config.blocks.iter().chain(&encoder);
    if blocks().any(|block| matches!(block.depth, DepthConfig::MixtureOfDepths(_))) {
        return false;
    }
    let expert = |expert: &ExpertConfig| match expert {
        ExpertConfig::Mlp(plain) => plain.activation != Activation::Relu,
        ExpertConfig::GatedMlp(gated) => gated.activation != Activation::Relu,
    };
    let mut parts = blocks().flat_map(|block| &block.sublayers).flat_map(|sublayer| &sublayer.parts);
    parts.all(|part| match part {
        PartConfig::Mlp(plain) => plain.activation != Activation::Relu,
        PartConfig::GatedMlp(gated) => gated.activation != Activation::Relu,
        // A choice jumps.
        PartConfig::Experts(e) => e.top_k == e.num_experts && expert(&e.expert) && e.shared_expert.iter().all(expert),
        _ => true,
    })
}
