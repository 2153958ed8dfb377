//! How blocks are stacked: a decoder, an encoder, or both.

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
    /// The word in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decoder => "decoder",
            Self::Encoder => "encoder",
            Self::EncoderDecoder => "encoder-decoder",
        }
    }

    /// Who sees whom by default, given what the recipe says: `causal`, which is said by saying nothing, means what is the
    /// stack's own.
    pub(crate) fn resolve_visibility(self, said: Visibility) -> Visibility {
        match (self, said) {
            (Self::Encoder, Visibility::Causal) => Visibility::Bidirectional,
            (Self::EncoderDecoder, Visibility::Causal) => Visibility::Prefix,
            _ => said,
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

/// Whether a part looks at the memory.
pub(crate) fn is_cross_attention(part: &PartConfig) -> bool {
    matches!(part, PartConfig::Attention(attention) if attention.source.is_cross())
}

fn parts_with_index(blocks: &[BlockConfig]) -> impl Iterator<Item = ([usize; 3], &PartConfig)> {
    let blocks = blocks.iter().enumerate();
    let sublayers = blocks.flat_map(|(b, block)| block.sublayers.iter().enumerate().map(move |(s, sub)| (b, s, sub)));
    sublayers.flat_map(|(b, s, sub)| sub.parts.iter().enumerate().map(move |(p, part)| ([b, s, p], part)))
}

/// The blocks without cross attention, and without what is empty then.
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
    /// The encoder of an encoder–decoder as a model of its own: the same vocabulary, width and dropout.
    pub fn encoder_model_config(&self) -> Option<Self> {
        if self.stack != Stack::EncoderDecoder {
            return None;
        }
        let own = self.encoder.clone().unwrap_or_default();
        Some(Self {
            stack: Stack::Encoder,
            visibility: Visibility::Bidirectional,
            position: own.position.unwrap_or_else(|| self.position.clone()),
            blocks: own.blocks.unwrap_or_else(|| without_cross_attention(&self.blocks)),
            norm: own.norm.unwrap_or_else(|| self.norm.clone()),
            encoder: None,
            ..self.clone()
        })
    }

    /// Writes down what the stack leaves open.
    pub(crate) fn resolve_stack(&mut self) {
        self.visibility = self.stack.resolve_visibility(self.visibility);
        if let Some(mut encoder) = self.encoder_model_config() {
            encoder.resolve();
            let Self { position, blocks, norm, .. } = encoder;
            self.encoder = Some(EncoderConfig { position: Some(position), blocks: Some(blocks), norm: Some(norm) });
        }
    }

    /// Who sees whom among the tokens of the stack that the head is on.
    pub fn effective_visibility(&self) -> Visibility {
        match self.stack {
            Stack::EncoderDecoder => Visibility::Causal,
            stack => stack.resolve_visibility(self.visibility),
        }
    }

    /// Refuses what doesn't make a stack.
    pub(crate) fn check_stack(&self, path: &str) -> Result<(), ValidationError> {
        self.check_visibility(path)?;
        let (name, both) = (self.stack.name(), self.stack == Stack::EncoderDecoder);
        if self.encoder.is_some() && !both {
            let reason = format!("the stack is `{name}`: it has no encoder besides");
            return Err(ValidationError::new(format!("{path}.encoder"), reason).with_suggestion(ENCODER_DECODER_HINT));
        }
        match parts_with_index(&self.blocks).find(|(_, part)| is_cross_attention(part)) {
            None if both => {
                let reason = "no block of the decoder looks at the encoder";
                Err(ValidationError::new(format!("{path}.blocks"), reason).with_suggestion(CROSS_ATTENTION_HINT))
            }
            Some(([b, s, p], _)) if !both => {
                let reason = format!("a cross attention looks at an encoder, which the stack `{name}` lacks");
                let place = format!("{path}.blocks[{b}].sublayers[{s}].parts[{p}].attention.source");
                Err(ValidationError::new(place, reason).with_suggestion(ENCODER_DECODER_HINT))
            }
            _ => Ok(()),
        }
    }

    fn check_visibility(&self, path: &str) -> Result<(), ValidationError> {
        let (own, reason) = match self.stack {
            Stack::Decoder => return Ok(()),
            Stack::Encoder => (Visibility::Bidirectional, "in an encoder every token sees its whole document"),
            Stack::EncoderDecoder => (
                Visibility::Prefix,
                "the prompt is seen whole in the encoder, and the decoder writes from left to right",
            ),
        };
        if self.stack.resolve_visibility(self.visibility) == own {
            return Ok(());
        }
        let instead = format!("visibility = \"{own:?}\"").to_lowercase();
        Err(ValidationError::new(format!("{path}.visibility"), reason).with_suggestion(instead))
    }
}

/// What a decoder that looks at an encoder has.
const CROSS_ATTENTION_HINT: &str =
    "a sublayer { parts = [{ attention = { source = \"cross\" } }] } after the self-attention";

const ENCODER_DECODER_HINT: &str = "stack = \"encoder-decoder\"";
