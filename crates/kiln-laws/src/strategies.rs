//! Proptest strategies for tiny legal models: every choice and every option, up to four layers of width 4 to 8.
//!
//! [`model`] draws any stack, [`decoder`], [`encoder`] and [`encoder_decoder`] one kind of stack, and the other
//! functions draw one part each. All drawn models are resolved: every option is written out.

mod attention;
mod blocks;
mod embedding_and_head;
mod encoder_stacks;
mod links;
mod smooth;

pub use attention::{attention, position, score};
pub use blocks::{
    block, depth, experts, gated_convolution, gated_delta_net, gla, junction, mamba2, norm, part, residual_streams,
};
pub use embedding_and_head::{embedding, language};
pub use encoder_stacks::{encoder, encoder_decoder, head};
pub use links::{links, with_links, without_links, without_value_residuals};
pub use smooth::{all_blocks, is_differentiable, with_soft_norms, with_zero_branches, without_depth_rules};

use kiln_models::{ModelConfig, SublayerConfig, Visibility};
use kiln_nn::{depth::DepthConfig, junction::JunctionConfig, part::PartConfig};
use kiln_spec::Direction;
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Vocabulary size of every drawn model.
pub const VOCAB: usize = 11;

/// Size of every drawn table of positions; longer than the documents of [`documents`].
pub const MAX_POSITIONS: usize = 24;

/// Any legal model: a decoder in three of six cases, an encoder in one, an encoder-decoder in two.
pub fn model() -> impl Strategy<Value = ModelConfig> {
    prop_oneof![3 => decoder(), 1 => encoder(), 2 => encoder_decoder()]
}

/// Any legal decoder: one or two blocks, of width 4, 6 or 8, of any visibility that its parts allow.
pub fn decoder() -> impl Strategy<Value = ModelConfig> {
    let visibility = select(vec![Visibility::Causal, Visibility::Bidirectional, Visibility::Prefix]);
    let stack = (2usize..=4, position(), visibility, prop_oneof![2 => Just(0.0), 1 => Just(0.2)]);
    let ends = (embedding(), norm(), language());
    (stack, vec(block(), 1..3), ends, (residual_streams(), option::weighted(0.4, links()))).prop_map(
        |((half, position, visibility, dropout), blocks, (embedding, norm, head), (residual_streams, links))| {
            let mut config = ModelConfig {
                vocab: VOCAB,
                hidden: 2 * half,
                embedding,
                position,
                visibility,
                dropout,
                residual_streams,
                blocks,
                norm,
                head,
                ..ModelConfig::default()
            };
            if config.find_incompatible(Direction::Bidirectional).is_some() {
                config.visibility = Visibility::Causal;
            }
            replace_post_norms(&mut config);
            config.resolve();
            with_links(config, links.unwrap_or_default())
        },
    )
}

/// Replaces norms after the residual connection in a model of several residual streams, which has no such norms.
fn replace_post_norms(config: &mut ModelConfig) {
    if config.residual_streams.count() == 1 {
        return;
    }
    for sublayer in all_blocks(config).flat_map(|block| &mut block.sublayers) {
        if let JunctionConfig::Post(placement) = &sublayer.junction {
            sublayer.junction = JunctionConfig::ResPost(placement.clone());
        }
    }
}

/// Any legal model whose first block runs for every token and begins with attention, for laws about mixing tokens.
pub fn model_with_attention() -> impl Strategy<Value = ModelConfig> {
    (model(), attention()).prop_map(|(mut config, attention)| {
        let part = PartConfig::Attention(attention);
        let sublayer = SublayerConfig::new(JunctionConfig::default(), vec![part]);
        config = without_value_residuals(config);
        config.blocks[0].sublayers.insert(0, sublayer);
        config.blocks[0].depth = DepthConfig::default();
        config.resolve();
        config
    })
}

/// One to three documents of one to eight tokens.
pub fn documents() -> impl Strategy<Value = Vec<Vec<u32>>> {
    vec(vec(0..VOCAB as u32, 1..9), 1..4)
}

/// Direction of a document by the default of the model, with a prompt of three tokens.
pub fn direction(config: &ModelConfig) -> Direction {
    config.effective_visibility().direction(3)
}
