//! Links between the attention layers of a stack: which layer publishes values, or keys and values, and which ones read them.
//!
//! A layer that others read must run in every call and on all tokens, so that a depth rule on its block is refused.

use super::{BlockConfig, ModelConfig};
use crate::block::assign_roles;
use kiln_nn::{
    context::{KeyValueLink, LayerLinks},
    depth::TokenCoverage,
    part::{
        PartConfig,
        attention::{AttentionConfig, AttentionSource, SharedSourceConfig},
    },
    position::PositionConfig,
};
use kiln_spec::{ValidationError, plan::CachePolicy};
use std::collections::BTreeMap;

/// An attention layer of a stack, repetitions of blocks expanded.
struct AttentionLayer<'a> {
    /// Number of the block, repetitions counted.
    block: usize,
    /// Path of the part in the configuration: `blocks[0].sublayers[0].parts[0]`.
    config_path: String,
    /// Path of the layer's parameters: `blocks.3.attention`.
    path: String,
    /// Path of the block in the configuration.
    block_path: String,
    config: &'a AttentionConfig,
    block_config: &'a BlockConfig,
}

/// What each attention layer publishes and reads, by the path of its parameters. Layers that do neither are left out.
pub(crate) type LinksByPath = BTreeMap<String, LayerLinks>;

impl ModelConfig {
    /// The links of the stack's attention layers. Empty if the configuration is illegal.
    pub(crate) fn layer_links(&self) -> LinksByPath {
        self.find_layer_links().unwrap_or_default()
    }

    /// Checks the links of the stack's attention layers.
    pub(super) fn check_layer_links(&self, path: &str) -> Result<(), ValidationError> {
        self.find_layer_links()
            .map(drop)
            .map_err(|error| ValidationError { path: format!("{path}.{}", error.path), ..error })
    }

    /// The links, or the first layer that cannot read what it should. Paths of errors are below the model.
    fn find_layer_links(&self) -> Result<LinksByPath, ValidationError> {
        let uses_links = |part: &PartConfig| match part {
            PartConfig::Attention(attention) => attention.source.is_shared() || attention.value_residual.is_some(),
            _ => false,
        };
        if !self.parts().any(|(_, part)| uses_links(part)) {
            return Ok(LinksByPath::new());
        }
        let layers = self.attention_layers();
        let mut links = vec![LayerLinks::default(); layers.len()];
        for reader in 0..layers.len() {
            self.link_first_values(&layers, reader, &mut links)?;
            self.link_key_value(&layers, reader, &mut links)?;
        }
        let named = layers.into_iter().map(|layer| layer.path).zip(links);
        Ok(named.filter(|(_, links)| *links != LayerLinks::default()).collect())
    }

    /// All attention layers in the order of execution.
    fn attention_layers(&self) -> Vec<AttentionLayer<'_>> {
        let (mut layers, mut first) = (Vec::new(), 0);
        for (b, block_config) in self.blocks.iter().enumerate() {
            let roles = assign_roles(&block_config.sublayers);
            for block in first..first + block_config.repeat {
                for (s, sublayer) in block_config.sublayers.iter().enumerate() {
                    for (p, part) in sublayer.parts.iter().enumerate() {
                        let PartConfig::Attention(config) = part else { continue };
                        layers.push(AttentionLayer {
                            block,
                            config_path: format!("blocks[{b}].sublayers[{s}].parts[{p}]"),
                            path: format!("blocks.{block}.{}", roles[s][p]),
                            block_path: format!("blocks[{b}]"),
                            config,
                            block_config,
                        });
                    }
                }
            }
            first += block_config.repeat;
        }
        layers
    }

    /// Links a layer with a value residual to the first layer of the stack that has values of its own.
    fn link_first_values(
        &self,
        layers: &[AttentionLayer],
        reader: usize,
        links: &mut [LayerLinks],
    ) -> Result<(), ValidationError> {
        if layers[reader].config.value_residual.is_none() {
            return Ok(());
        }
        let path = format!("{}.attention.value_residual", layers[reader].config_path);
        let first = layers.iter().position(|layer| layer.config.source.is_own()).unwrap_or(reader);
        if first >= reader {
            // A copy of a repeated block: the copies after it add its values.
            if layers[reader].block_config.repeat > 1 {
                return Ok(());
            }
            let reason = "this is the first attention layer of the stack: there are no earlier values to add";
            return Err(ValidationError::new(path, reason).with_suggestion("leave it out"));
        }
        self.check_shapes(&layers[first], &layers[reader], &path)?;
        check_depth_rules(&layers[first], &layers[reader])?;
        links[first].publishes_values = true;
        links[reader].reads_values = true;
        Ok(())
    }

    /// Links a layer without keys and values of its own to its source.
    fn link_key_value(
        &self,
        layers: &[AttentionLayer],
        reader: usize,
        links: &mut [LayerLinks],
    ) -> Result<(), ValidationError> {
        let AttentionSource::Shared(shared) = &layers[reader].config.source else { return Ok(()) };
        let path = format!("{}.attention.source.shared", layers[reader].config_path);
        let source = find_source(layers, reader, shared, &path)?;
        self.check_shapes(&layers[source], &layers[reader], &path)?;
        self.check_positions(&layers[source], &layers[reader], &path)?;
        check_values(&layers[source], &layers[reader], &path)?;
        let policy = check_cached_keys(&layers[source], &layers[reader], &path)?;
        check_depth_rules(&layers[source], &layers[reader])?;
        links[source].publishes_key_value = Some(source);
        links[reader].reads_key_value = Some(KeyValueLink { layer: source, policy });
        Ok(())
    }

    /// Checks that source and reader have the same key-value heads.
    fn check_shapes(
        &self,
        source: &AttentionLayer,
        reader: &AttentionLayer,
        path: &str,
    ) -> Result<(), ValidationError> {
        let describe = |heads: Option<[usize; 2]>| match heads {
            Some([heads, width]) => format!("{heads} key-value heads of {width}"),
            None => "latent keys and values".into(),
        };
        let [from, to] = [source, reader].map(|layer| layer.config.projection.key_value_heads(self.hidden));
        if from == to && from.is_some() {
            return Ok(());
        }
        let reason = format!("{} has {}, this layer {}", source.path, describe(from), describe(to));
        Err(ValidationError::new(path, reason).with_suggestion("give both layers the same `kv_heads` and `head_dim`"))
    }

    /// Checks that the positions in the source's keys are those of the reader's queries.
    fn check_positions(
        &self,
        source: &AttentionLayer,
        reader: &AttentionLayer,
        path: &str,
    ) -> Result<(), ValidationError> {
        let position = |layer: &AttentionLayer| layer.config.position.clone().unwrap_or_else(|| self.position.clone());
        let [from, to] = [source, reader].map(position);
        if from == to || !acts_on_keys(&from) && !acts_on_keys(&to) {
            return Ok(());
        }
        let reason = format!(
            "the keys of {} have positions of `{}`, the queries of this layer of `{}`, or with other options",
            source.path,
            from.name(),
            to.name()
        );
        Err(ValidationError::new(path, reason).with_suggestion("give both layers the same `position`"))
    }
}

/// Checks that the score functions of source and reader have the same form of values.
fn check_values(source: &AttentionLayer, reader: &AttentionLayer, path: &str) -> Result<(), ValidationError> {
    let [from, to] = [source, reader].map(|layer| &layer.config.score);
    if from.values_per_head() == to.values_per_head() {
        return Ok(());
    }
    let reason = format!("{} has values for `{}` scores, this layer `{}` scores", source.path, from.name(), to.name());
    Err(ValidationError::new(path, reason).with_suggestion("give both layers the same `score`"))
}

/// Whether a position encoding changes queries and keys, not only embeddings or scores.
fn acts_on_keys(position: &PositionConfig) -> bool {
    let is_bias_alone = position.has_score_bias() && !position.transforms_keys();
    !position.is_added_to_embedding() && !is_bias_alone && !matches!(position, PositionConfig::None(_))
}

/// The layer whose keys and values a layer reads: the nearest one before it, or the last one of the block that is named.
fn find_source(
    layers: &[AttentionLayer],
    reader: usize,
    shared: &SharedSourceConfig,
    path: &str,
) -> Result<usize, ValidationError> {
    let is_wanted =
        |layer: &AttentionLayer| layer.config.source.is_own() && shared.block.is_none_or(|block| layer.block == block);
    if let Some(source) = (0..reader).rev().find(|i| is_wanted(&layers[*i])) {
        return Ok(source);
    }
    let own = layers[reader].block;
    let (key, reason) = match shared.block {
        None => ("", "no earlier attention layer of the stack has keys and values of its own".into()),
        Some(block) if block > own => {
            (".block", format!("block {block} comes after this layer, which is in block {own}"))
        }
        Some(block) => {
            (".block", format!("block {block} has no attention with keys and values of its own before this layer"))
        }
    };
    Err(ValidationError::new(format!("{path}{key}"), reason).with_suggestion("source = \"self\""))
}

/// Checks that the source caches all keys that the reader can see, and returns its cache policy.
fn check_cached_keys(
    source: &AttentionLayer,
    reader: &AttentionLayer,
    path: &str,
) -> Result<CachePolicy, ValidationError> {
    let [from, to] = [source, reader].map(|layer| CachePolicy::for_pattern(&layer.config.pattern));
    if from.union(to) == from {
        return Ok(from);
    }
    let reason = format!(
        "{} caches the keys of the pattern {}, this layer sees more of them ({})",
        source.path, source.config.pattern, reader.config.pattern
    );
    Err(ValidationError::new(path, reason).with_suggestion("give both layers the same `pattern`"))
}

/// Checks that a layer that is read runs in every call on all tokens, and that its reader reads all of them.
fn check_depth_rules(source: &AttentionLayer, reader: &AttentionLayer) -> Result<(), ValidationError> {
    let refuse = |layer: &AttentionLayer, reason: String| {
        let depth = &layer.block_config.depth;
        let path = format!("{}.depth.{}", layer.block_path, depth.name());
        Err(ValidationError::new(path, reason).with_suggestion("depth = \"always\""))
    };
    let read = format!("{} reads keys or values of {}", reader.path, source.path);
    match [source, reader].map(|layer| layer.block_config.depth.token_coverage()) {
        [TokenCoverage::All, TokenCoverage::Some] => {
            refuse(reader, format!("{read}, which has all tokens; this block runs for some of them"))
        }
        [TokenCoverage::All, _] => Ok(()),
        [TokenCoverage::AllOrNone, _] => refuse(source, format!("{read}, which this rule may skip")),
        [TokenCoverage::Some, _] => refuse(source, format!("{read}, which this rule runs for some tokens only")),
    }
}
