//! What attention layers of a stack share: values of the first layer, and keys and values (cross-layer attention, 2405.12981).

use super::{
    Attention, AttentionConfig, AttentionSource,
    projection::{KeyValue, ProjectionConfig},
};
use crate::{
    autograd_order::walk_after,
    context::{Context, KeyValueLink, SharedTensor},
};
use burn::tensor::Tensor;
use kiln_spec::ValidationError;

/// Checks that an attention at `path` can share with other layers what it says. Whether there are such layers, the model checks.
pub(super) fn check(config: &AttentionConfig, path: &str) -> Result<(), ValidationError> {
    let is_heads = matches!(config.projection, ProjectionConfig::Heads(_));
    if config.source.is_shared() && !is_heads {
        let reason = "keys and values of another layer need the projection `heads`, found `latent`";
        return Err(ValidationError::new(format!("{path}.source.shared"), reason).with_suggestion("source = \"self\""));
    }
    let Some(residual) = &config.value_residual else { return Ok(()) };
    let path = format!("{path}.value_residual");
    let reason = match &config.source {
        AttentionSource::Cross(_) => {
            "cross-attention has values of the encoder's tokens; the first layer's have no place there"
        }
        AttentionSource::Shared(_) => {
            "an attention with keys and values of another layer has no values to add others to"
        }
        _ if !is_heads => "a value residual needs the projection `heads`, found `latent`",
        _ => return residual.check(&path),
    };
    Err(ValidationError::new(path, reason).with_suggestion("leave it out"))
}

/// What a listing says about the layers that an attention reads.
pub(super) fn description(source: &AttentionSource, has_value_residual: bool) -> &'static str {
    match source {
        AttentionSource::Shared(_) => ", keys and values of an earlier layer",
        _ if has_value_residual => ", value residual",
        _ => "",
    }
}

impl Attention {
    /// The keys and values of this call's tokens, with the first layer's values added. Publishes the values if this is the
    /// first layer.
    pub(super) fn link_values(&self, mut new: KeyValue, cx: &mut Context) -> KeyValue {
        let links = &self.links;
        if !links.publishes_values && !links.reads_values {
            return new;
        }
        let Some(value) = new.pop() else { return new };
        let value = match (&self.value_residual, cx.read_shared(SharedTensor::FirstValues)) {
            (Some(residual), Some(first)) => residual.add_first(first, value),
            _ => value,
        };
        let value = if links.publishes_values { cx.publish(SharedTensor::FirstValues, value) } else { value };
        new.push(value);
        new
    }

    /// The keys and values of all tokens, after other layers can read them too.
    pub(super) fn publish_key_value(&self, all: KeyValue, cx: &mut Context) -> KeyValue {
        let Some(layer) = self.links.publishes_key_value else { return all };
        let names = [SharedTensor::Keys(layer), SharedTensor::Values(layer)];
        names.into_iter().zip(all).map(|(name, tensor)| cx.publish(name, tensor)).collect()
    }
}

/// The keys and values of the layer that `link` names, for attention with input `x [B, T, M]`. `None` if that layer has not
/// published any.
pub(super) fn shared_key_value(link: KeyValueLink, x: &Tensor<3>, cx: &mut Context) -> Option<KeyValue> {
    let names = [SharedTensor::Keys(link.layer), SharedTensor::Values(link.layer)];
    names.into_iter().map(|name| Some(walk_after(cx.read_shared(name)?, x))).collect()
}
