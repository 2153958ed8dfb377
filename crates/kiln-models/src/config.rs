//! Configuration of a model: plain data that determines the computation completely.
//!
//! Two configurations that are equal after [`ModelConfig::resolve`] compute the same function of their weights. A
//! configuration is read from the `[model]` table of a recipe, from a checkpoint, or from a `config.json`
//! ([`hf::read_config`](crate::hf::read_config)). The usual order is read → [`check`](ModelConfig::check) →
//! [`resolve`](ModelConfig::resolve) → [`Model::init`](crate::Model::init).

mod block;
mod exactness;
mod layer_links;
mod positions;

pub use block::{BlockConfig, SublayerConfig};

use crate::stack::{EncoderConfig, Stack};
use kiln_nn::{
    depth::DepthConfig,
    head::{HeadConfig, LanguageModelHeadConfig},
    input_embedding::InputEmbeddingConfig,
    junction::JunctionConfig,
    norm::NormConfig,
    part::PartConfig,
    position::PositionConfig,
    streams::ResidualStreamsConfig,
    variant::{BuildContext, MAX_WIDTH},
};
use kiln_spec::{Direction, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Attention mask for generation and other inference. In training, the objective sets the mask of each document.
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
    /// Attention mask for generation and other inference: causal, bidirectional or prefix. Training always uses the
    /// mask of the stage's objective. Absent: the mask that the last stage trains; for an encoder always bidirectional,
    /// for an encoder-decoder always prefix.
    pub visibility: Visibility,
    /// Dropout probability in training.
    pub dropout: f64,
    /// Residual connections of the sublayers: one residual stream, or several that are mixed.
    pub residual_streams: ResidualStreamsConfig,
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
        let parts = [PartConfig::Attention(Default::default()), PartConfig::GatedMlp(Default::default())];
        let sublayers = parts.map(|part| SublayerConfig::new(JunctionConfig::default(), vec![part]));
        Self {
            stack: Stack::Decoder,
            vocab: 0,
            hidden: 128,
            embedding: InputEmbeddingConfig::default(),
            position: PositionConfig::default(),
            visibility: Visibility::Causal,
            dropout: 0.0,
            residual_streams: ResidualStreamsConfig::default(),
            blocks: vec![BlockConfig { repeat: 4, depth: DepthConfig::default(), sublayers: sublayers.into() }],
            encoder: None,
            norm: NormConfig::default(),
            head: HeadConfig::default(),
        }
    }
}

impl Visibility {
    /// Attention direction of a document whose first `prompt` tokens are the prompt.
    pub fn direction(self, prompt: usize) -> Direction {
        match self {
            Self::Causal => Direction::Causal,
            Self::Bidirectional => Direction::Bidirectional,
            Self::Prefix => Direction::Prefix(prompt),
        }
    }

    /// Name in a configuration: `causal`, `bidirectional`, `prefix`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Causal => "causal",
            Self::Bidirectional => "bidirectional",
            Self::Prefix => "prefix",
        }
    }
}

/// Greatest number of blocks, repetitions counted.
const MAX_LAYERS: usize = 4096;

/// Greatest vocabulary: an id fits in an `i32`, and the embedding's element count in a `usize`.
const MAX_VOCAB: usize = 1 << 28;

impl ModelConfig {
    /// Settings of the model that its parts depend on: width, vocabulary, positions, default direction.
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

    /// [`build_context`](Self::build_context) of the position encoding: positions that are added to the embeddings have the
    /// width of their sum.
    pub(crate) fn position_context(&self) -> BuildContext<'_> {
        let context = self.build_context();
        let width =
            if self.position.is_added_to_embedding() { self.embedding.sum_width(self.hidden) } else { self.hidden };
        BuildContext { hidden: width, ..context }
    }

    /// Writes down every default that depends on other settings, such as the head dimension (hidden / heads), so that a
    /// saved configuration is complete. Idempotent. Numbers that cannot work are left for [`check`](Self::check).
    pub fn resolve(&mut self) {
        self.resolve_stack();
        self.resolve_head_width();
        let unresolved = self.clone();
        self.position.fit_heads(unresolved.num_query_heads(), unresolved.query_width());
        self.position.resolve(&unresolved.build_context());
        // The parts see the resolved positions.
        let unresolved = self.clone();
        let context = unresolved.build_context();
        self.residual_streams.resolve(&context);
        for sublayer in self.blocks.iter_mut().flat_map(|block| &mut block.sublayers) {
            sublayer.junction.resolve(&context);
            sublayer.part_norm.iter_mut().for_each(|norm| norm.resolve(&context));
            sublayer.parts.iter_mut().for_each(|part| part.resolve(&context));
        }
    }

    /// Checks that the model can be built and run. `path` is the key of the model, which error paths start with.
    ///
    /// Checked are sizes, the stack, then every part in the order of the configuration, then the encoder.
    ///
    /// # Errors
    /// The first setting that cannot work, with its path, the reason and a suggestion.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        self.check_sizes(path)?;
        self.check_stack(path)?;
        // The parts see the positions as they will be resolved.
        let mut position = self.position.clone();
        position.fit_heads(self.num_query_heads(), self.query_width());
        position.resolve(&self.position_context());
        let context = BuildContext { position: &position, ..self.build_context() };
        self.embedding.check(&context, &format!("{path}.embedding"))?;
        self.position.check(&self.position_context(), &format!("{path}.position"))?;
        self.check_position(path)?;
        self.residual_streams.check(&context, &format!("{path}.residual_streams"))?;
        for (i, block) in self.blocks.iter().enumerate() {
            block.check(&context, self.effective_visibility(), &format!("{path}.blocks[{i}]"))?;
        }
        self.check_junctions(path)?;
        self.check_layer_links(path)?;
        self.norm.check(&context, &format!("{path}.norm"))?;
        self.head.check(&context, &format!("{path}.head"))?;
        self.check_head_width(path)?;
        self.encoder_model_config().map_or(Ok(()), |encoder| encoder.check(&format!("{path}.encoder")))
    }

    /// A norm after the residual connection normalizes the one stream; several have no such norm.
    fn check_junctions(&self, path: &str) -> Result<(), ValidationError> {
        let streams = self.residual_streams.count();
        if streams == 1 {
            return Ok(());
        }
        let blocks = self.blocks.iter().enumerate();
        let mut sublayers =
            blocks.flat_map(|(b, block)| block.sublayers.iter().enumerate().map(move |(s, sub)| (b, s, sub)));
        let Some((b, s, _)) = sublayers.find(|(.., sublayer)| matches!(sublayer.junction, JunctionConfig::Post(_)))
        else {
            return Ok(());
        };
        let reason = format!("a post-norm normalizes the residual stream itself; the model has {streams} streams");
        Err(ValidationError::new(format!("{path}.blocks[{b}].sublayers[{s}].junction.post"), reason)
            .with_suggestion("junction = \"pre\" or \"res_post\""))
    }

    /// Checks the sizes that the memory and the time of all other checks depend on.
    fn check_sizes(&self, path: &str) -> Result<(), ValidationError> {
        let layers = self.num_layers();
        let (key, reason) = match self {
            _ if self.hidden == 0 || self.hidden > MAX_WIDTH => {
                ("hidden", format!("expected a width from 1 to {MAX_WIDTH}, found {}", self.hidden))
            }
            _ if self.vocab > MAX_VOCAB => {
                ("vocab", format!("expected at most {MAX_VOCAB} tokens, found {}", self.vocab))
            }
            _ if !(0.0..1.0).contains(&self.dropout) => {
                ("dropout", format!("expected a number of at least 0 and below 1, found {}", self.dropout))
            }
            _ if self.blocks.is_empty() => ("blocks", "expected at least one block, found none".into()),
            _ if layers > MAX_LAYERS => ("blocks", format!("expected at most {MAX_LAYERS} blocks, found {layers}")),
            _ => return Ok(()),
        };
        Err(ValidationError::new(format!("{path}.{key}"), reason))
    }

    /// Writes down the width of a tied head's input where it is not the hidden size: that of the token table.
    fn resolve_head_width(&mut self) {
        let table = self.embedding.table_width(self.hidden);
        if let HeadConfig::Language(head) = &mut self.head {
            let needed = if head.tied { table } else { self.hidden };
            let width = head.width.unwrap_or(needed);
            head.width = Some(width).filter(|width| *width != self.hidden || needed != self.hidden);
        }
    }

    /// A tied head multiplies by the token table, so it needs the table's width.
    fn check_head_width(&self, path: &str) -> Result<(), ValidationError> {
        let table = self.embedding.table_width(self.hidden);
        match &self.head {
            HeadConfig::Language(LanguageModelHeadConfig { tied: true, width: Some(width), .. }) if *width != table => {
                let reason = format!("the head is tied to token embeddings of width {table}, its width is {width}");
                Err(ValidationError::new(format!("{path}.head.language.width"), reason)
                    .with_suggestion(format!("width = {table}")))
            }
            _ => Ok(()),
        }
    }

    /// Query heads of the first attention part; 0 if there is none.
    fn num_query_heads(&self) -> usize {
        let mut heads = self.parts().filter_map(|(_, part)| match part {
            PartConfig::Attention(attention) => Some(attention.projection.heads()),
            _ => None,
        });
        heads.next().unwrap_or(0)
    }

    /// The parts with their indices of block, sublayer and part, in order of execution. A repeated block counts once.
    pub(crate) fn parts(&self) -> impl Iterator<Item = ([usize; 3], &PartConfig)> {
        let blocks = self.blocks.iter().enumerate();
        let sublayers =
            blocks.flat_map(|(b, block)| block.sublayers.iter().enumerate().map(move |(s, sub)| (b, s, sub)));
        sublayers.flat_map(|(b, s, sub)| sub.parts.iter().enumerate().map(move |(p, part)| ([b, s, p], part)))
    }

    /// Number of blocks, repetitions counted. Saturates instead of overflowing.
    pub fn num_layers(&self) -> usize {
        self.blocks.iter().fold(0, |sum, block| sum.saturating_add(block.repeat))
    }
}
