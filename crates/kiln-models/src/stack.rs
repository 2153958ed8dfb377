//! Stacks: decoder, encoder, or encoder-decoder, and the settings that follow from the choice.
//!
//! | stack | default visibility | cross-attention | example |
//! |---|---|---|---|
//! | `decoder` | `causal` | refused | GPT-2, Llama |
//! | `encoder` | `bidirectional` | refused | BERT |
//! | `encoder-decoder` | `prefix`: the prompt goes through the encoder | at least one in the decoder | T5 |

use crate::config::{BlockConfig, ModelConfig, Visibility};
use kiln_nn::{norm::NormConfig, part::PartConfig, position::PositionConfig};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Decoder, encoder, or encoder-decoder.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Stack {
    /// A decoder that generates from left to right.
    #[default]
    Decoder,
    /// An encoder with bidirectional attention (1810.04805).
    Encoder,
    /// An encoder, and a decoder with cross-attention to its output (1706.03762, 1910.10683).
    EncoderDecoder,
}

impl Stack {
    /// Name in a recipe: `decoder`, `encoder`, `encoder-decoder`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decoder => "decoder",
            Self::Encoder => "encoder",
            Self::EncoderDecoder => "encoder-decoder",
        }
    }

    /// The visibility of a stack with this setting. `causal` is the default of the setting, so that it stands for the
    /// default of the stack.
    pub(crate) fn resolve_visibility(self, setting: Visibility) -> Visibility {
        match (self, setting) {
            (Self::Encoder, Visibility::Causal) => Visibility::Bidirectional,
            (Self::EncoderDecoder, Visibility::Causal) => Visibility::Prefix,
            _ => setting,
        }
    }
}

/// The encoder of an encoder–decoder.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// Position encoding. Absent: that of the decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionConfig>,
    /// Blocks. Absent: those of the decoder without cross-attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Vec<BlockConfig>>,
    /// Final norm. Absent: that of the decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormConfig>,
}

/// Whether a part is attention over the encoder's output.
pub(crate) fn is_cross_attention(part: &PartConfig) -> bool {
    matches!(part, PartConfig::Attention(attention) if attention.source.is_cross())
}

/// The blocks without their cross-attention parts. Sublayers and blocks that are empty without them are left out.
fn without_cross_attention(blocks: &[BlockConfig]) -> Vec<BlockConfig> {
    let mut blocks = blocks.to_vec();
    for block in &mut blocks {
        block.sublayers.iter_mut().for_each(|sublayer| sublayer.parts.retain(|part| !is_cross_attention(part)));
        block.sublayers.retain(|sublayer| !sublayer.parts.is_empty());
    }
    blocks.retain(|block| !block.sublayers.is_empty());
    blocks
}

impl ModelConfig {
    /// The encoder of an encoder-decoder as the configuration of a model: the same vocabulary, width and dropout;
    /// positions, blocks and norm of [`ModelConfig::encoder`], or the decoder's where those are absent. `None` for other
    /// stacks.
    pub fn encoder_model_config(&self) -> Option<Self> {
        if self.stack != Stack::EncoderDecoder {
            return None;
        }
        let encoder = self.encoder.clone().unwrap_or_default();
        Some(Self {
            stack: Stack::Encoder,
            visibility: Visibility::Bidirectional,
            position: encoder.position.unwrap_or_else(|| self.position.clone()),
            blocks: encoder.blocks.unwrap_or_else(|| without_cross_attention(&self.blocks)),
            norm: encoder.norm.unwrap_or_else(|| self.norm.clone()),
            encoder: None,
            ..self.clone()
        })
    }

    /// Writes down the visibility and the encoder that follow from the stack.
    pub(crate) fn resolve_stack(&mut self) {
        self.visibility = self.stack.resolve_visibility(self.visibility);
        if let Some(mut encoder) = self.encoder_model_config() {
            encoder.resolve();
            let Self { position, blocks, norm, .. } = encoder;
            self.encoder = Some(EncoderConfig { position: Some(position), blocks: Some(blocks), norm: Some(norm) });
        }
    }

    /// Self-attention visibility of the blocks that feed the head. In an encoder-decoder this is the decoder's, always
    /// `causal`, although `visibility` is `prefix`; otherwise the resolved `visibility`.
    pub fn effective_visibility(&self) -> Visibility {
        match self.stack {
            Stack::EncoderDecoder => Visibility::Causal,
            stack => stack.resolve_visibility(self.visibility),
        }
    }

    /// Checks visibility, encoder and cross-attention against the stack.
    pub(crate) fn check_stack(&self, path: &str) -> Result<(), ValidationError> {
        self.check_visibility(path)?;
        let (name, both) = (self.stack.name(), self.stack == Stack::EncoderDecoder);
        if self.encoder.is_some() && !both {
            let reason = format!("the stack `{name}` takes no separate encoder");
            return Err(ValidationError::new(format!("{path}.encoder"), reason).with_suggestion(ENCODER_DECODER_HINT));
        }
        match self.parts().find(|(_, part)| is_cross_attention(part)) {
            None if both => {
                let reason = "no block of the decoder has cross-attention to the encoder";
                Err(ValidationError::new(format!("{path}.blocks"), reason).with_suggestion(CROSS_ATTENTION_HINT))
            }
            Some(([block, sublayer, index], _)) if !both => {
                let reason = format!("cross-attention needs an encoder; the stack `{name}` has none");
                let source = format!("{path}.blocks[{block}].sublayers[{sublayer}].parts[{index}].attention.source");
                Err(ValidationError::new(source, reason).with_suggestion(ENCODER_DECODER_HINT))
            }
            _ => Ok(()),
        }
    }

    /// An encoder and an encoder-decoder work with one visibility only.
    fn check_visibility(&self, path: &str) -> Result<(), ValidationError> {
        let (only, stack) = match self.stack {
            Stack::Decoder => return Ok(()),
            Stack::Encoder => (Visibility::Bidirectional, "encoder"),
            Stack::EncoderDecoder => (Visibility::Prefix, "encoder-decoder"),
        };
        let visibility = self.stack.resolve_visibility(self.visibility);
        if visibility == only {
            return Ok(());
        }
        let reason = format!("must be `{}` for an {stack}, found `{}`", only.name(), visibility.name());
        let suggestion = format!("visibility = \"{}\"", only.name());
        Err(ValidationError::new(format!("{path}.visibility"), reason).with_suggestion(suggestion))
    }
}

/// Suggestion for an encoder-decoder without cross-attention.
const CROSS_ATTENTION_HINT: &str =
    "a sublayer { parts = [{ attention = { source = \"cross\" } }] } after the self-attention";

/// Suggestion for an encoder or cross-attention in another stack.
const ENCODER_DECODER_HINT: &str = "stack = \"encoder-decoder\"";
