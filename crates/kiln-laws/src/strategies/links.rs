//! Attention layers that read what earlier layers publish: value residuals, shared keys and values.

use super::all_blocks;
use kiln_models::{ModelConfig, SublayerConfig};
use kiln_nn::part::{
    PartConfig,
    attention::{AttentionConfig, AttentionSource, ProjectionConfig, SharedSourceConfig, ValueResidualConfig},
};
use proptest::{prelude::*, sample::select};

/// What an attention layer reads of an earlier one.
#[derive(Clone, Debug)]
pub enum Link {
    /// The values of the first layer.
    FirstValues(ValueResidualConfig),
    /// The keys and values of the nearest layer that has its own.
    KeyValue,
}

/// A link for each attention part, or none.
pub fn links() -> impl Strategy<Value = Vec<Option<Link>>> {
    let factors = (select(vec![0.5, -0.4]), select(vec![0.5, 1.5]), any::<bool>());
    let residual = factors.prop_map(|(lambda_first, lambda_own, learnable)| {
        Some(Link::FirstValues(ValueResidualConfig { lambda_first, lambda_own, learnable }))
    });
    let link = prop_oneof![2 => Just(None), 2 => residual, 2 => Just(Some(Link::KeyValue))];
    proptest::collection::vec(link, 6)
}

/// The model with those of the links that are legal in it. A layer that reads another gets the heads, and for keys the
/// positions and the pattern, of the layer that it reads. A model with one attention part gets another one before it.
pub fn with_links(original: ModelConfig, links: Vec<Option<Link>>) -> ModelConfig {
    let (mut config, mut is_linked) = (original.clone(), false);
    if let [only] = attention_parts(&mut config).as_mut_slice() {
        let copy = SublayerConfig::new(Default::default(), vec![PartConfig::Attention(only.clone())]);
        config.blocks[0].sublayers.insert(0, copy);
    }
    let count = attention_parts(&mut config).len();
    for (reader, link) in (0..count).zip(links) {
        let Some(link) = link else { continue };
        let before = config.clone();
        link_part(&mut attention_parts(&mut config), reader, link);
        config.resolve();
        if config.check("model").is_err() {
            config = before;
        } else {
            is_linked |= config != before;
        }
    }
    if is_linked { config } else { original }
}

/// The model without value residuals, for a change that makes another layer the first one.
pub fn without_value_residuals(mut config: ModelConfig) -> ModelConfig {
    all_attention_parts(&mut config).for_each(|attention| attention.value_residual = None);
    config
}

/// The model without layers that read other ones, and with one residual stream, for a change of the depth rules.
pub fn without_links(config: &ModelConfig) -> ModelConfig {
    let mut config = without_value_residuals(config.clone());
    for attention in all_attention_parts(&mut config).filter(|attention| attention.source.is_shared()) {
        attention.source = AttentionSource::default();
    }
    ModelConfig { residual_streams: Default::default(), ..config }
}

/// The attention parts of all stacks.
fn all_attention_parts(config: &mut ModelConfig) -> impl Iterator<Item = &mut AttentionConfig> {
    let sublayers = all_blocks(config).flat_map(|block| &mut block.sublayers);
    sublayers.flat_map(|sublayer| &mut sublayer.parts).filter_map(|part| match part {
        PartConfig::Attention(attention) => Some(attention),
        _ => None,
    })
}

/// The attention parts of the decoder's blocks.
fn attention_parts(config: &mut ModelConfig) -> Vec<&mut AttentionConfig> {
    let sublayers = config.blocks.iter_mut().flat_map(|block| &mut block.sublayers);
    let parts = sublayers.flat_map(|sublayer| &mut sublayer.parts);
    let attention = parts.filter_map(|part| match part {
        PartConfig::Attention(attention) => Some(attention),
        _ => None,
    });
    attention.collect()
}

/// Makes part `reader` read an earlier part, or an earlier copy of itself.
fn link_part(parts: &mut [&mut AttentionConfig], reader: usize, link: Link) {
    let is_source =
        |part: &&mut AttentionConfig| part.source.is_own() && matches!(part.projection, ProjectionConfig::Heads(_));
    match link {
        Link::FirstValues(residual) => {
            if let Some(first) = parts[..reader].iter().find(|part| is_source(part)) {
                parts[reader].projection = first.projection.clone();
            }
            parts[reader].value_residual = Some(residual);
        }
        Link::KeyValue => {
            let Some(source) = parts[..reader].iter().rev().find(|part| is_source(part)) else { return };
            let reading = AttentionConfig {
                source: AttentionSource::Shared(SharedSourceConfig::default()),
                value_residual: None,
                score: parts[reader].score.clone(),
                ..(**source).clone()
            };
            *parts[reader] = reading;
        }
    }
}
