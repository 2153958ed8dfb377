//! Position encodings, projections, scores and attention.

use super::{MAX_POSITIONS, norm};
use crate::layouts;
use kiln_nn::{
    part::attention::{
        AttentionConfig, AttentionSource, LatentProjectionConfig, MultiHeadProjectionConfig, ProjectionConfig,
        QueryKeyNormConfig, QueryKeyNormScope, SegmentsConfig,
        score::{DifferentialConfig, ScoreConfig, SigmoidConfig, SoftmaxConfig, TalkingHeadsConfig, TopKConfig},
    },
    position::{
        AlibiConfig, CopeConfig, LearnedPositionConfig, PositionConfig, RelativeBiasConfig, RotaryEmbeddingConfig,
        RotaryScaling, SelfExtendConfig, ShawConfig, SinusoidalPositionConfig, XPosConfig,
        rotary_scaling::{DynamicScaling, LinearScaling, Llama3Scaling, YarnScaling},
    },
};
use kiln_spec::config::NoOptions;
use proptest::{option, prelude::*, sample::select};

/// Position encoding of a stack. Those of T5, CoPE and Shaw are left out: their tables must fit the heads of an attention (see
/// [`attention`]). So is Self-Extend, which latent attention refuses.
pub fn position() -> BoxedStrategy<PositionConfig> {
    prop_oneof![
        1 => Just(PositionConfig::None(NoOptions {})),
        1 => learned().prop_map(PositionConfig::Learned),
        1 => sinusoidal().prop_map(PositionConfig::Sinusoidal),
        3 => rotary().prop_map(PositionConfig::Rotary),
        1 => alibi().prop_map(PositionConfig::Alibi),
        1 => xpos().prop_map(PositionConfig::XPos),
    ]
    .boxed()
}

/// ALiBi, scaled like the query-key products or not.
fn alibi() -> impl Strategy<Value = AlibiConfig> {
    (0.0f64..8.0, any::<bool>()).prop_map(|(alibi_bias_max, scaled)| AlibiConfig { alibi_bias_max, scaled })
}

/// xPos with a decay that a few tokens show.
fn xpos() -> impl Strategy<Value = XPosConfig> {
    (2.0f64..20_000.0, any::<bool>(), 2.0f64..50.0, 0.2f64..2.0)
        .prop_map(|(theta, interleaved, scale_base, gamma)| XPosConfig { theta, interleaved, scale_base, gamma })
}

/// A learned table of [`MAX_POSITIONS`] rows, the first of them for position `offset`.
fn learned() -> impl Strategy<Value = LearnedPositionConfig> {
    (0usize..3).prop_map(|offset| LearnedPositionConfig { max_position_embeddings: MAX_POSITIONS, offset })
}

/// Sinusoidal positions in both pairings.
fn sinusoidal() -> impl Strategy<Value = SinusoidalPositionConfig> {
    any::<bool>().prop_map(|interleaved| SinusoidalPositionConfig { theta: 100.0, interleaved })
}

/// Rotary positions that rotate all coordinates of a head, with every scaling but LongRoPE, whose lists must fit a head.
fn rotary() -> impl Strategy<Value = RotaryEmbeddingConfig> {
    let yarn = YarnScaling {
        factor: 4.0,
        original_max_position_embeddings: 8,
        beta_fast: 2.0,
        beta_slow: 0.5,
        truncate: true,
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
        // Within and beyond the original context: documents have up to eight tokens.
        RotaryScaling::Dynamic(DynamicScaling { factor: 2.0, original_max_position_embeddings: 4 }),
    ];
    (2.0f64..20_000.0, any::<bool>(), select(scaling)).prop_map(|(theta, interleaved, scaling)| RotaryEmbeddingConfig {
        theta,
        interleaved,
        partial_factor: 1.0,
        scaling,
    })
}

/// Norm of queries and keys, of every scope.
fn qk_norm() -> impl Strategy<Value = QueryKeyNormConfig> {
    let scopes = vec![QueryKeyNormScope::Head, QueryKeyNormScope::EachHead, QueryKeyNormScope::AllHeads];
    (norm(), select(scopes)).prop_map(|(norm, scope)| QueryKeyNormConfig { norm, scope })
}

/// Multi-head, grouped-query and multi-query projections: one or two key-value heads of up to three query heads each, with
/// and without a norm of queries and keys, and clipped in one of six cases.
fn heads() -> BoxedStrategy<ProjectionConfig> {
    let sizes = (1usize..=2, 1usize..=3, 1usize..=2);
    let scale = option::of(Just(0.6));
    let limits = (option::weighted(0.4, qk_norm()), option::weighted(0.17, Just(0.8)));
    let options = (sizes, any::<[bool; 2]>(), scale, limits);
    options
        .prop_map(|((kv_heads, group, half), [bias, other], scale, (qk_norm, clip_qkv))| {
            let config = MultiHeadProjectionConfig {
                heads: kv_heads * group,
                kv_heads: Some(kv_heads),
                head_dim: Some(2 * half),
                bias,
                out_bias: other.then_some(!bias),
                scale,
                qk_norm,
                clip_qkv,
            };
            ProjectionConfig::Heads(config)
        })
        .boxed()
}

/// Latent projections whose widths all differ, so that a mix-up of two widths is an error of shapes.
fn latent() -> BoxedStrategy<ProjectionConfig> {
    let options = (1usize..=3, option::of(1usize..4), norm(), any::<bool>(), option::of(Just(0.6)));
    options
        .prop_map(|(heads, q_lora_rank, norm, bias, scale)| {
            ProjectionConfig::Latent(LatentProjectionConfig {
                heads,
                q_lora_rank,
                norm,
                kv_lora_rank: Some(3),
                qk_nope_head_dim: Some(5),
                qk_rope_head_dim: Some(2),
                v_head_dim: Some(4),
                bias,
                scale,
            })
        })
        .boxed()
}

/// Softmax with softcap, temperature and sink, sigmoid with and without a bias, top-k, talking heads, or differential.
pub fn score() -> BoxedStrategy<ScoreConfig> {
    let softmax = (option::weighted(0.3, 0.5f64..5.0), select(vec![1.0, 0.7]), any::<bool>());
    prop_oneof![
        6 => softmax.prop_map(|(softcap, temperature, sink)| {
            ScoreConfig::Softmax(SoftmaxConfig { softcap, temperature, sink })
        }),
        2 => option::of(-3.0f64..1.0).prop_map(|bias| ScoreConfig::Sigmoid(SigmoidConfig { bias })),
        1 => (1usize..6).prop_map(|k| ScoreConfig::TopK(TopKConfig { k })),
        1 => Just(ScoreConfig::TalkingHeads(TalkingHeadsConfig {})),
        2 => differential().prop_map(ScoreConfig::Differential),
    ]
    .boxed()
}

/// Differential attention with λ_init of the layer or its own, and with and without a weight of the norm.
fn differential() -> impl Strategy<Value = DifferentialConfig> {
    (option::of(0.0f64..0.9), any::<bool>()).prop_map(|(lambda_init, norm_weight)| DifferentialConfig {
        lambda_init,
        norm_weight,
        ..DifferentialConfig::default()
    })
}

/// Attention of any projection, pattern and score, with the positions of the stack or its own, and with or without a
/// trained prefix. Cross attention is left out.
pub fn attention() -> BoxedStrategy<AttentionConfig> {
    let own = prop_oneof![
        position().prop_filter("only a stack adds positions to embeddings", |p| !p.is_added_to_embedding()),
        relative_bias().prop_map(PositionConfig::T5),
        (2usize..6).prop_map(|npos_max| PositionConfig::Cope(CopeConfig { npos_max, head_dim: None })),
        shaw().prop_map(PositionConfig::Shaw),
        self_extend().prop_map(PositionConfig::SelfExtend),
    ];
    let source = prop_oneof![
        2 => Just(AttentionSource::default()),
        1 => (1usize..4).prop_map(|prefix_length| AttentionSource::Segments(SegmentsConfig { prefix_length })),
    ];
    let projection = prop_oneof![2 => heads(), 1 => latent()];
    (projection, option::weighted(0.4, own), layouts::pattern(), score(), source)
        .prop_map(|(projection, position, pattern, score, source)| {
            legal(AttentionConfig { source, projection, position, pattern, score, value_residual: None })
        })
        .boxed()
}

/// The attention without a prefix that its scores can't be computed apart for, without positions that read the queries of a
/// latent projection, and with pairs of heads if its scores need them.
fn legal(mut config: AttentionConfig) -> AttentionConfig {
    if !config.score.merges_key_sets() {
        config.source = AttentionSource::default();
    }
    let is_latent = matches!(config.projection, ProjectionConfig::Latent(_));
    config.position = config.position.filter(|position| !(is_latent && position.reads_queries()));
    if matches!(config.score, ScoreConfig::Differential(_)) { with_pairs(config) } else { config }
}

/// The attention with an even number of key-value heads; a latent one with softmax.
fn with_pairs(mut config: AttentionConfig) -> AttentionConfig {
    match &mut config.projection {
        ProjectionConfig::Heads(heads) => {
            let kv_heads = heads.kv_heads.unwrap_or(heads.heads);
            heads.heads *= 1 + kv_heads % 2;
            heads.kv_heads = Some(kv_heads * (1 + kv_heads % 2));
        }
        ProjectionConfig::Latent(_) => config.score = ScoreConfig::default(),
    }
    if let Some(PositionConfig::Shaw(shaw)) = &mut config.position {
        shaw.values &= !matches!(config.score, ScoreConfig::Differential(_));
    }
    config
}

/// T5's relative bias, with buckets for one side or for both.
fn relative_bias() -> impl Strategy<Value = RelativeBiasConfig> {
    (any::<bool>(), 2usize..5).prop_map(|(bidirectional, side)| RelativeBiasConfig {
        num_buckets: if bidirectional { 2 * side } else { side },
        max_distance: 6,
        bidirectional: Some(bidirectional),
        heads: None,
    })
}

/// Relative position representations of short distances, of keys or of keys and values.
fn shaw() -> impl Strategy<Value = ShawConfig> {
    (1usize..4, any::<bool>()).prop_map(|(max_relative_position, values)| ShawConfig {
        max_relative_position,
        values,
        head_dim: None,
    })
}

/// Rotary positions of frequencies that a few tokens show, grouped beyond a short window.
fn self_extend() -> impl Strategy<Value = SelfExtendConfig> {
    (1usize..5, 1usize..4, any::<bool>()).prop_map(|(neighbor_window, group_size, interleaved)| SelfExtendConfig {
        neighbor_window,
        group_size,
        rotary: RotaryEmbeddingConfig { theta: 100.0, interleaved, ..RotaryEmbeddingConfig::default() },
    })
}
