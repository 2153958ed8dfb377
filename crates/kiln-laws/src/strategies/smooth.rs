//! Models made fit for finite differences: smooth, and of moderate size.

use kiln_models::{BlockConfig, ModelConfig};
use kiln_nn::{
    depth::DepthConfig,
    head::{HeadConfig, LanguageModelHeadConfig},
    junction::JunctionConfig,
    norm::{NormConfig, RmsNormConfig},
    part::{
        PartConfig,
        attention::{AttentionConfig, ProjectionConfig, ScoreConfig},
        experts::ExpertConfig,
        feed_forward::activation::Activation,
    },
    position::PositionConfig,
};

/// Returns the model with every block running for every token.
pub fn without_depth_rules(config: &ModelConfig) -> ModelConfig {
    let mut config = config.clone();
    all_blocks(&mut config).for_each(|block| block.depth = DepthConfig::default());
    config
}

/// Blocks of all stacks: the decoder's, then those that the encoder has of its own.
pub fn all_blocks(config: &mut ModelConfig) -> impl Iterator<Item = &mut BlockConfig> {
    let encoder = config.encoder.iter_mut().flat_map(|encoder| &mut encoder.blocks).flatten();
    config.blocks.iter_mut().chain(encoder)
}

/// Returns the model with RMS norm where it has none, and with ε = 0.3 in every norm.
///
/// A norm of small inputs has large higher derivatives, and the error of finite differences grows with these. A large ε
/// bounds them.
pub fn with_soft_norms(config: &ModelConfig) -> ModelConfig {
    let mut config = config.clone();
    for sublayer in all_blocks(&mut config).flat_map(|block| &mut block.sublayers) {
        match (&sublayer.part_norm, sublayer.junction.norm_mut()) {
            (None, Some(norm)) => enlarge_epsilon(norm),
            _ => sublayer.part_norm.iter_mut().for_each(enlarge_epsilon),
        }
        for part in &mut sublayer.parts {
            match part {
                PartConfig::Gla(gla) => enlarge_epsilon(&mut gla.norm),
                PartConfig::Attention(AttentionConfig { projection: ProjectionConfig::Heads(heads), .. }) => {
                    heads.qk_norm.iter_mut().for_each(|qk_norm| enlarge_epsilon(&mut qk_norm.norm));
                }
                PartConfig::GatedDeltaNet(delta) => enlarge_epsilon(&mut delta.norm),
                PartConfig::Mamba2(mamba) => mamba.norm_eps = 0.3,
                // A latent of rank 1 with a small ε is normalized to its sign.
                PartConfig::Attention(AttentionConfig { projection: ProjectionConfig::Latent(latent), .. }) => {
                    enlarge_epsilon(&mut latent.norm);
                }
                _ => {}
            }
        }
    }
    config.encoder.iter_mut().filter_map(|encoder| encoder.norm.as_mut()).for_each(enlarge_epsilon);
    if let HeadConfig::Language(LanguageModelHeadConfig { transform: Some(transform), .. }) = &mut config.head {
        enlarge_epsilon(&mut transform.norm);
    }
    [&mut config.norm, &mut config.embedding.norm].into_iter().for_each(enlarge_epsilon);
    config
}

/// Sets ε = 0.3, or RMS norm where there is no norm.
fn enlarge_epsilon(norm: &mut NormConfig) {
    match norm {
        NormConfig::Rms(rms) => rms.eps = 0.3,
        NormConfig::Layer(layer) => layer.eps = 0.3,
        other => *other = NormConfig::Rms(RmsNormConfig { eps: 0.3, ..RmsNormConfig::default() }),
    }
}

/// Returns the model [`with_soft_norms`] and with ReZero's α = 0.
///
/// A residual stream without norms grows from block to block, and the loss becomes so large that a finite difference
/// has no significant digits. With α = 0 such branches add nothing, but α has a gradient.
pub fn with_zero_branches(config: &ModelConfig) -> ModelConfig {
    let mut config = with_soft_norms(config);
    for sublayer in all_blocks(&mut config).flat_map(|block| &mut block.sublayers) {
        if let JunctionConfig::ReZero(rezero) = &mut sublayer.junction {
            rezero.alpha_init = 0.0;
        }
    }
    config
}

/// Whether the loss is differentiable everywhere, so that finite differences approximate its gradient.
///
/// ReLU, clipped queries, the choice of keys (top-k), positions that are interpolated (CoPE), the choice of experts and the
/// choice of tokens (mixture of depths) are not.
pub fn is_differentiable(config: &ModelConfig) -> bool {
    let encoder = config.encoder_model_config().map_or_else(Vec::new, |encoder| encoder.blocks);
    let blocks: Vec<&BlockConfig> = config.blocks.iter().chain(&encoder).collect();
    if blocks.iter().any(|block| matches!(block.depth, DepthConfig::MixtureOfDepths(_))) {
        return false;
    }
    let mut parts = blocks.iter().flat_map(|block| &block.sublayers).flat_map(|sublayer| &sublayer.parts);
    parts.all(|part| match part {
        PartConfig::Mlp(mlp) => mlp.activation != Activation::Relu,
        PartConfig::GatedMlp(mlp) => mlp.activation != Activation::Relu,
        PartConfig::Attention(attention) => is_attention_differentiable(attention),
        PartConfig::Experts(experts) => {
            let all_active = experts.top_k == experts.num_experts;
            all_active
                && is_expert_differentiable(&experts.expert)
                && experts.shared_expert.iter().all(is_expert_differentiable)
        }
        _ => true,
    })
}

/// Whether attention weights are differentiable everywhere as functions of the parameters.
fn is_attention_differentiable(attention: &AttentionConfig) -> bool {
    let is_clipped = matches!(&attention.projection, ProjectionConfig::Heads(heads) if heads.clip_qkv.is_some());
    let is_interpolated = matches!(attention.position, Some(PositionConfig::Cope(_)));
    !is_clipped && !is_interpolated && !matches!(attention.score, ScoreConfig::TopK(_))
}

/// Whether the activation of an expert is differentiable everywhere.
fn is_expert_differentiable(expert: &ExpertConfig) -> bool {
    match expert {
        ExpertConfig::Mlp(mlp) => mlp.activation != Activation::Relu,
        ExpertConfig::GatedMlp(mlp) => mlp.activation != Activation::Relu,
    }
}
