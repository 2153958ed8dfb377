//! Norms, junctions, feed-forward networks, experts, gated linear attention, and blocks of them.

use super::attention;
use kiln_models::{BlockConfig, SublayerConfig};
use kiln_nn::{
    depth::{DepthConfig, LayerDropConfig, MixtureOfDepthsConfig, RouterGate},
    junction::{JunctionConfig, NormPlacementConfig, ReZeroConfig},
    norm::{LayerNormConfig, NormConfig, RmsNormConfig},
    part::{
        PartConfig,
        experts::{
            ExpertConfig, ExpertGroupsConfig, GroupScore, MixtureOfExpertsConfig, ScoringFunction, SelectionBiasConfig,
        },
        feed_forward::{activation::Activation, gated_mlp::GatedMlpConfig, mlp::MlpConfig},
        gated_convolution::GatedConvolutionConfig,
        gated_delta_net::GatedDeltaNetConfig,
        gated_linear_attention::GatedLinearAttentionConfig,
        mamba2::Mamba2Config,
    },
    streams::{HyperConnectionsConfig, ResidualStreamsConfig},
};
use kiln_spec::config::NoOptions;
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Any norm, or none.
pub fn norm() -> BoxedStrategy<NormConfig> {
    prop_oneof![
        1 => Just(NormConfig::None(NoOptions {})),
        3 => rms_norm().prop_map(NormConfig::Rms),
        3 => layer_norm().prop_map(NormConfig::Layer),
    ]
    .boxed()
}

/// RMS norm whose factor is w or 1 + w.
fn rms_norm() -> impl Strategy<Value = RmsNormConfig> {
    (select(vec![1e-6, 1e-3]), any::<bool>()).prop_map(|(eps, unit_offset)| RmsNormConfig { eps, unit_offset })
}

/// Layer norm with and without a bias.
fn layer_norm() -> impl Strategy<Value = LayerNormConfig> {
    (select(vec![1e-5, 1e-3]), any::<bool>()).prop_map(|(eps, bias)| LayerNormConfig { eps, bias })
}

/// Any junction, with any norm where it has one.
pub fn junction() -> BoxedStrategy<JunctionConfig> {
    prop_oneof![
        placement().prop_map(JunctionConfig::Pre),
        placement().prop_map(JunctionConfig::Post),
        placement().prop_map(JunctionConfig::Sandwich),
        placement().prop_map(JunctionConfig::ResPost),
        select(vec![0.0, 1.0]).prop_map(|alpha_init| JunctionConfig::ReZero(ReZeroConfig { alpha_init })),
    ]
    .boxed()
}

/// Any residual streams: one in three of five cases, otherwise hyper-connections of one, two or four streams.
pub fn residual_streams() -> BoxedStrategy<ResidualStreamsConfig> {
    let options = (select(vec![1, 2, 2, 4]), any::<[bool; 2]>(), norm());
    let connections = options.prop_map(|(expansion_rate, [dynamic, tanh], norm)| {
        ResidualStreamsConfig::HyperConnections(HyperConnectionsConfig { expansion_rate, dynamic, tanh, norm })
    });
    prop_oneof![3 => Just(ResidualStreamsConfig::default()), 2 => connections].boxed()
}

/// Any norm, and a residual multiplier in one of three cases.
fn placement() -> impl Strategy<Value = NormPlacementConfig> {
    (norm(), select(vec![1.0, 1.0, 0.5]))
        .prop_map(|(norm, residual_multiplier)| NormPlacementConfig { norm, residual_multiplier })
}

/// A gated MLP of any activation; the intermediate width is given in four of five cases.
fn gated_mlp() -> BoxedStrategy<GatedMlpConfig> {
    (option::weighted(0.8, 1usize..9), activation(), any::<bool>())
        .prop_map(|(intermediate, activation, bias)| GatedMlpConfig { intermediate, activation, bias })
        .boxed()
}

/// An MLP of two matrices, drawn like [`gated_mlp`].
fn mlp() -> BoxedStrategy<MlpConfig> {
    (option::weighted(0.8, 1usize..9), activation(), any::<bool>())
        .prop_map(|(intermediate, activation, bias)| MlpConfig { intermediate, activation, bias })
        .boxed()
}

/// Any activation.
fn activation() -> impl Strategy<Value = Activation> {
    select(vec![Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu])
}

/// A mixture of one to four experts of either kind. One, some or all of them are active, with or without a shared one, by
/// any scores, with or without a selection bias, groups and a scaling factor.
pub fn experts() -> BoxedStrategy<MixtureOfExpertsConfig> {
    let numbers = (1usize..5).prop_flat_map(|experts| (Just(experts), 1..=experts, any::<bool>()));
    let shared = option::weighted(0.3, (expert(), any::<bool>()));
    (numbers, expert(), shared, router())
        .prop_map(|((num_experts, top_k, normalize), expert, shared, router)| MixtureOfExpertsConfig {
            num_experts,
            top_k,
            norm_topk_prob: Some(normalize && top_k > 1),
            expert,
            shared_expert_gate: shared.as_ref().is_some_and(|(_, gate)| *gate),
            shared_expert: shared.map(|(expert, _)| expert),
            groups: router.groups.clone().filter(|groups| fits(groups, num_experts, top_k)),
            ..router
        })
        .boxed()
}

/// Whether so many experts can be selected from the groups.
fn fits(groups: &ExpertGroupsConfig, num_experts: usize, top_k: usize) -> bool {
    let size = num_experts / groups.n_group;
    let is_large_enough = size >= if groups.score == GroupScore::TopTwoSum { 2 } else { 1 };
    num_experts.is_multiple_of(groups.n_group) && is_large_enough && top_k <= groups.topk_group * size
}

/// Options of a router: scores, router bias, selection bias, two groups, scaling factor.
fn router() -> BoxedStrategy<MixtureOfExpertsConfig> {
    let functions = select(vec![ScoringFunction::Softmax, ScoringFunction::Sigmoid]);
    let groups = (1usize..=2, select(vec![GroupScore::Max, GroupScore::TopTwoSum]));
    let groups = groups.prop_map(|(topk_group, score)| ExpertGroupsConfig { n_group: 2, topk_group, score });
    (functions, any::<[bool; 2]>(), option::of(groups), select(vec![1.0, 2.5]))
        .prop_map(|(scoring_func, [router_bias, selection_bias], groups, routed_scaling_factor)| {
            MixtureOfExpertsConfig {
                scoring_func,
                router_bias,
                selection_bias: selection_bias.then(SelectionBiasConfig::default),
                groups,
                routed_scaling_factor,
                ..MixtureOfExpertsConfig::default()
            }
        })
        .boxed()
}

/// Either kind of expert.
fn expert() -> BoxedStrategy<ExpertConfig> {
    prop_oneof![gated_mlp().prop_map(ExpertConfig::GatedMlp), mlp().prop_map(ExpertConfig::Mlp)].boxed()
}

/// Gated linear attention of one to three heads. A high temperature makes the gates forget little, a low one much.
pub fn gla() -> BoxedStrategy<GatedLinearAttentionConfig> {
    let numbers = (1usize..=3, 1usize..=4, 1usize..=4, 1usize..=3);
    (numbers, select(vec![1.0, 4.0, 16.0]), norm())
        .prop_map(|((heads, key, value, rank), temperature, norm)| GatedLinearAttentionConfig {
            heads,
            head_dim: Some(key),
            value_dim: Some(value),
            rank,
            temperature,
            norm,
        })
        .boxed()
}

/// Mamba-2 of one to four heads, some of which may share B and C.
pub fn mamba2() -> impl Strategy<Value = Mamba2Config> {
    let sizes = (1usize..=2, 1usize..=2, 1usize..=4, 1usize..=4, 1usize..=4);
    (sizes, any::<[bool; 3]>()).prop_map(
        |((groups, shared, head, state_size, conv_width), [bias, conv_bias, norm_before_gate])| Mamba2Config {
            heads: groups * shared,
            head_dim: Some(head),
            state_size,
            groups,
            conv_width,
            conv_bias,
            bias,
            norm_before_gate,
            norm_eps: 1e-3,
            ..Mamba2Config::default()
        },
    )
}

/// Gated DeltaNet of one to four heads, some of which may share queries and keys.
pub fn gated_delta_net() -> impl Strategy<Value = GatedDeltaNetConfig> {
    let sizes = (1usize..=2, 1usize..=2, 1usize..=4, 1usize..=4, 1usize..=4);
    (sizes, any::<bool>(), norm()).prop_map(|((groups, shared, key, value, conv_width), negative_eigenvalues, norm)| {
        GatedDeltaNetConfig {
            heads: groups * shared,
            key_heads: Some(groups),
            head_dim: Some(key),
            value_dim: Some(value),
            conv_width,
            negative_eigenvalues,
            norm,
        }
    })
}

/// Gated convolution over one to four tokens.
pub fn gated_convolution() -> impl Strategy<Value = GatedConvolutionConfig> {
    (1usize..=4, any::<bool>()).prop_map(|(conv_width, bias)| GatedConvolutionConfig { conv_width, bias })
}

/// Any part; attention in three of ten cases.
pub fn part() -> BoxedStrategy<PartConfig> {
    prop_oneof![
        3 => attention().prop_map(PartConfig::Attention),
        1 => gla().prop_map(PartConfig::Gla),
        1 => mamba2().prop_map(PartConfig::Mamba2),
        1 => gated_delta_net().prop_map(PartConfig::GatedDeltaNet),
        1 => gated_convolution().prop_map(PartConfig::GatedConvolution),
        1 => mlp().prop_map(PartConfig::Mlp),
        1 => gated_mlp().prop_map(PartConfig::GatedMlp),
        1 => experts().prop_map(PartConfig::Experts),
    ]
    .boxed()
}

/// A block of one to three sublayers of one or two parts each, run once or twice. A gated convolution, and GLA without a norm of
/// its own, have a norm before them: they are cubic in their input, and a few of them without norms give numbers whose rounding
/// is above any bound.
pub fn block() -> BoxedStrategy<BlockConfig> {
    let norms = option::weighted(0.4, norm());
    let sublayer = (junction(), vec(part(), 1..3), norms).prop_map(|(junction, parts, part_norm)| {
        let is_free = !junction.norm().is_some_and(|norm| !matches!(norm, NormConfig::None(_)));
        let is_cubic = parts.iter().any(|part| match part {
            PartConfig::GatedConvolution(_) => true,
            PartConfig::Gla(gla) => matches!(gla.norm, NormConfig::None(_)),
            _ => false,
        });
        let needed = is_cubic.then(|| NormConfig::Rms(RmsNormConfig::default()));
        let part_norm = part_norm.filter(|norm| needed.is_none() || !matches!(norm, NormConfig::None(_))).or(needed);
        SublayerConfig { junction, parts, part_norm: part_norm.filter(|_| is_free) }
    });
    (1usize..3, depth(), vec(sublayer, 1..4))
        .prop_map(|(repeat, depth, sublayers)| BlockConfig { repeat, depth, sublayers })
        .boxed()
}

/// Any depth rule: every token in four of seven cases.
pub fn depth() -> BoxedStrategy<DepthConfig> {
    let gate = select(vec![RouterGate::Raw, RouterGate::Sigmoid]);
    let mixture = (select(vec![0.2, 0.5, 1.0]), gate, select(vec![0.0, 0.5]));
    prop_oneof![
        4 => Just(DepthConfig::default()),
        1 => (0.0f64..0.9).prop_map(|rate| DepthConfig::LayerDrop(LayerDropConfig { rate })),
        2 => mixture.prop_map(|(capacity, gate, predictor_loss_coef)| {
            DepthConfig::MixtureOfDepths(MixtureOfDepthsConfig { capacity, gate, predictor_loss_coef })
        }),
    ]
    .boxed()
}
