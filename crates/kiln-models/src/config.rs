//! A model is a value: `ModelConfig` says all of it.

mod block;

pub use block::{BlockConfig, SublayerConfig};

use crate::stack::{EncoderConfig, Stack};
use kiln_nn::{
    depth::DepthConfig,
    head::HeadConfig,
    input_embedding::InputEmbeddingConfig,
    junction::JunctionConfig,
    norm::NormConfig,
    part::PartConfig,
    position::PositionConfig,
    variant::{BuildContext, MAX_WIDTH},
};
use kiln_spec::{Direction, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Default attention direction, used for generation. In training the objective sets it for each document.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Each token attends to itself and earlier tokens.
    #[default]
    Causal,
    /// Each token attends to the whole document.
    Bidirectional,
    /// Bidirectional attention over the prompt, causal attention after it.
    Prefix,
}

/// A language model.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Decoder, encoder, or encoder-decoder.
    pub stack: Stack,
    /// Vocabulary size. 0: that of the tokenizer.
    pub vocab: usize,
    /// Hidden size (width of the residual stream).
    pub hidden: usize,
    /// Token embedding.
    pub embedding: InputEmbeddingConfig,
    /// Position encoding. An attention part may override it.
    pub position: PositionConfig,
    /// Default attention direction. Absent: that of the last stage's objective; `bidirectional` for an encoder,
    /// `prefix` for an encoder-decoder.
    pub visibility: Visibility,
    /// Dropout probability in training.
    pub dropout: f64,
    /// Blocks, from first to last.
    pub blocks: Vec<BlockConfig>,
    /// Encoder of an encoder-decoder. The keys outside it describe the decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderConfig>,
    /// Final norm, after the last block.
    pub norm: NormConfig,
    /// Output head.
    pub head: HeadConfig,
}

impl Default for ModelConfig {
    fn default() -> Self {
        let sublayer = |part: PartConfig| SublayerConfig { junction: JunctionConfig::default(), parts: vec![part] };
        let attention = PartConfig::Attention(Default::default());
        let gated = PartConfig::GatedMlp(Default::default());
        Self {
            stack: Stack::Decoder,
            vocab: 0,
            hidden: 128,
            embedding: InputEmbeddingConfig::default(),
            position: PositionConfig::default(),
            visibility: Visibility::Causal,
            dropout: 0.0,
            blocks: vec![BlockConfig {
                repeat: 4,
                depth: DepthConfig::default(),
                sublayers: vec![sublayer(attention), sublayer(gated)],
            }],
            encoder: None,
            norm: NormConfig::default(),
            head: HeadConfig::default(),
        }
    }
}

impl Visibility {
    /// The direction of a document with a prompt of `prompt` tokens.
    pub fn direction(self, prompt: usize) -> Direction {
        match self {
            Self::Causal => Direction::Causal,
            Self::Bidirectional => Direction::Bidirectional,
            Self::Prefix => Direction::Prefix(prompt),
        }
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Causal => "causal",
            Self::Bidirectional => "bidirectional",
            Self::Prefix => "prefix",
        }
    }
}

impl ModelConfig {
    /// What surrounds each part.
    pub fn build_context(&self) -> BuildContext<'_> {
        BuildContext {
            hidden: self.hidden,
            vocab: self.vocab,
            heads: self.num_query_heads(),
            dropout: self.dropout,
            position: &self.position,
            direction: self.effective_visibility().direction(0),
        }
    }

    /// Writes down what parts leave to their surroundings, so that what is saved says everything.
    pub fn resolve(&mut self) {
        self.resolve_stack();
        let before = self.clone();
        self.position.resolve(&before.build_context());
        let before = self.clone();
        let around = before.build_context();
        for sublayer in self.blocks.iter_mut().flat_map(|b| &mut b.sublayers) {
            sublayer.junction.resolve(&around);
            sublayer.parts.iter_mut().for_each(|part| part.resolve(&around));
        }
    }

    /// Refuses what can't be, with the path under `path` and the reason.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        self.check_sizes(path)?;
        self.check_stack(path)?;
        let around = self.build_context();
        self.embedding.check(&around, &format!("{path}.embedding"))?;
        self.position.check(&around, &format!("{path}.position"))?;
        self.check_position(path)?;
        for (b, block) in self.blocks.iter().enumerate() {
            block.check(&around, self.effective_visibility(), &format!("{path}.blocks[{b}]"))?;
        }
        self.norm.check(&around, &format!("{path}.norm"))?;
        self.head.check(&around, &format!("{path}.head"))?;
        self.encoder_model_config().map_or(Ok(()), |encoder| encoder.check(&format!("{path}.encoder")))
    }

    /// A table of biases that no attention looks into would never be trained.
    fn check_position(&self, path: &str) -> Result<(), ValidationError> {
        let parts = self.blocks.iter().flat_map(|b| &b.sublayers).flat_map(|s| &s.parts);
        let inherits = |part: &PartConfig| matches!(part, PartConfig::Attention(a) if a.position.is_none() && !a.source.is_cross());
        if !matches!(self.position, PositionConfig::T5(_)) || parts.into_iter().any(inherits) {
            return Ok(());
        }
        let reason = "no attention uses the stack's t5 positions: each has its own, or looks elsewhere";
        Err(ValidationError::new(format!("{path}.position.t5"), reason).with_suggestion("position = \"none\""))
    }

    fn check_sizes(&self, path: &str) -> Result<(), ValidationError> {
        let refuse = |key: &str, reason: String| Err(ValidationError::new(format!("{path}.{key}"), reason));
        match self {
            _ if self.hidden == 0 || self.hidden > MAX_WIDTH => {
                refuse("hidden", format!("a width from 1 to {MAX_WIDTH}, found {}", self.hidden))
            }
            _ if self.vocab > 1 << 28 => refuse("vocab", format!("at most {} tokens, found {}", 1 << 28, self.vocab)),
            _ if !(0.0..1.0).contains(&self.dropout) => {
                refuse("dropout", format!("a share from 0 up to but without 1, found {}", self.dropout))
            }
            _ if self.blocks.is_empty() => refuse("blocks", "a model without blocks".into()),
            _ if self.num_layers() > 4096 => {
                refuse("blocks", format!("at most 4096 blocks, found {}", self.num_layers()))
            }
            _ => Ok(()),
        }
    }

    /// Query heads of the first attention; 0 if there is none.
    fn num_query_heads(&self) -> usize {
        let parts = self.blocks.iter().flat_map(|b| &b.sublayers).flat_map(|s| &s.parts);
        let heads = |part: &PartConfig| match part {
            PartConfig::Attention(attention) => Some(attention.projection.heads()),
            _ => None,
        };
        parts.filter_map(heads).next().unwrap_or(0)
    }

    /// Number of blocks, repetitions counted.
    pub fn num_layers(&self) -> usize {
        self.blocks.iter().fold(0, |sum, block| sum.saturating_add(block.repeat))
    }
}
