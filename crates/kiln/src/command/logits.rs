//! `kiln logits MODEL --ids ID,…`: the logits of a token sequence, for comparison with other programs.
//!
//! ```console
//! kiln logits models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --ids 1,100,200 --json
//! kiln logits models/t5 --ids 100,200,1 --decoder-ids 0,5
//! ```
//!
//! Needs configuration and weights only, no tokenizer. The head is that of the model family: the masked-language-model head
//! for BERT, the decoder for T5. Ids that are special tokens of a tokenizer are not checked.
//!
//! JSON: `{"shape":[sequence,vocabulary],"logits":[…]}`, 32-bit floating point, row-major.

use super::{device_args::DeviceArgs, error::CliError, model_args::ModelArgs, output::CommandOutput};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_models::{Model, Stack};
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};
use serde_json::json;

/// Arguments of `kiln logits`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Token ids, separated by commas. For an encoder-decoder: the encoder input.
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',', required = true)]
    ids: Vec<i32>,
    /// Decoder input ids of an encoder-decoder (default: its start token).
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',')]
    decoder_ids: Option<Vec<i32>>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Computes the logits `[T, vocabulary]` of the ids, or of the decoder ids of an encoder-decoder, and prints the most
/// likely token after each id.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let device = args.device.open()?;
    let source = args.model.source()?;
    let weights = source.load_model(&device)?;
    let decoder_start = weights.decoder_start_token();
    let model = weights.model;
    args.check_ids(&model)?;
    let (ids, encoder_ids) = match (model.config().stack, &args.decoder_ids) {
        (Stack::EncoderDecoder, Some(decoder_ids)) => (decoder_ids.clone(), Some(args.ids.as_slice())),
        (Stack::EncoderDecoder, None) => {
            let start = match decoder_start {
                Some(start) => start,
                None => source.tokenizer()?.special_tokens().bos,
            };
            check_decoder_start(start, model.config().vocab)?;
            (vec![start as i32], Some(args.ids.as_slice()))
        }
        (_, Some(_)) => {
            return Err(CliError::usage("the model is not an encoder-decoder").with_location("--decoder-ids"));
        }
        (_, None) => (args.ids.clone(), None),
    };
    let logits = compute_logits(&model, &ids, encoder_ids);
    let [length, vocab] = logits.dims();
    let data = logits.into_data().convert::<f32>();
    let values = data
        .as_slice::<f32>()
        .map_err(|error| CliError::failed("device", format!("cannot read results from the device: {error}")))?;
    let lines = ids.iter().zip(values.chunks_exact(vocab.max(1))).map(|(id, row)| format!("{id} → {}", top_logit(row)));
    Ok(CommandOutput::new(json!({ "shape": [length, vocab], "logits": values }), lines.collect::<Vec<_>>().join("\n")))
}

/// `id (logit)` of the largest logit.
///
/// Empty for a model without vocabulary.
fn top_logit(row: &[f32]) -> String {
    let top = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    top.map_or(String::new(), |(id, logit)| format!("{id} ({logit:.4})"))
}

/// Logits `[T, vocabulary]` of one document. An encoder-decoder encodes `encoder_ids` first.
///
/// The ids are read in the direction that the model uses for generation. With prefix visibility, the whole sequence
/// is the prefix. `encoder_ids` must be given for an encoder-decoder, and only for one.
pub fn compute_logits(model: &Model, ids: &[i32], encoder_ids: Option<&[i32]>) -> Tensor<2> {
    let device = model.device();
    let direction = model.config().effective_visibility().direction(ids.len());
    let mut cx = Context::new(&document_layout(ids.len(), direction), &device);
    if let Some(encoder_ids) = encoder_ids {
        let layout = document_layout(encoder_ids.len(), Direction::Bidirectional);
        model.encode(id_tensor(encoder_ids, &device), &layout, &mut cx);
    }
    let hidden = model.forward(id_tensor(ids, &device), &mut cx);
    model.outputs(hidden, &cx)
}

/// The layout of a batch with one document.
fn document_layout(length: usize, direction: Direction) -> Layout {
    Layout::packed(&[vec![DocumentSpan { length, start: 0, direction }]], length)
}

/// Token ids as `[1, T]`.
fn id_tensor(ids: &[i32], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(ids.to_vec(), [1, ids.len()]), device)
}

impl Args {
    /// Refuses ids outside the vocabulary and sequences longer than the positions of the model.
    fn check_ids(&self, model: &Model) -> Result<(), CliError> {
        let config = model.config();
        let max_positions = config.position.max_positions();
        let encoder = config.encoder_model_config();
        let max_encoder_positions = encoder.map_or(max_positions, |encoder| encoder.position.max_positions());
        check_sequence("--ids", &self.ids, config.vocab, max_encoder_positions)?;
        match &self.decoder_ids {
            Some(ids) => check_sequence("--decoder-ids", ids, config.vocab, max_positions),
            None => Ok(()),
        }
    }
}

/// Refuses a token that the decoder starts with and that the model has no row for.
fn check_decoder_start(start: u32, vocab: usize) -> Result<(), CliError> {
    if (start as usize) < vocab {
        return Ok(());
    }
    let message = format!("decoder_start_token_id is {start}, but the model has ids from 0 to {}", vocab - 1);
    Err(CliError::failed("model", message).with_help("correct it in config.json, or give the decoder's input with --decoder-ids"))
}

/// `max_length` is the number of positions of the stack that reads the ids; `None` if it is not limited.
fn check_sequence(flag: &str, ids: &[i32], vocab: usize, max_length: Option<usize>) -> Result<(), CliError> {
    let is_unknown = |id: &&i32| usize::try_from(**id).map_or(true, |id| id >= vocab);
    if let Some(id) = ids.iter().find(is_unknown) {
        let message = format!("token id {id} is outside the vocabulary: the model has ids from 0 to {}", vocab - 1);
        return Err(CliError::usage(message).with_location(flag));
    }
    if let Some(limit) = max_length.filter(|limit| ids.len() > *limit) {
        let message = format!("found {} tokens, but the model supports at most {limit} tokens", ids.len());
        return Err(CliError::usage(message).with_location(flag));
    }
    Ok(())
}
