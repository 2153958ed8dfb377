//! `kiln logits MODEL --ids ID,…` or `--text TEXT`: the logits of a token sequence, for comparison with other programs.
//!
//! ```console
//! kiln logits models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --ids 1,100,200 --json
//! kiln logits models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --text "Water boils at" --top 5
//! kiln logits models/t5 --ids 100,200,1 --decoder-ids 0,5
//! ```
//!
//! With `--ids`, configuration and weights suffice: a tokenizer only adds the token texts. The head is that of the model
//! family: the masked-language-model head for BERT, the decoder for T5. Ids that are special tokens of a tokenizer are not
//! checked.
//!
//! JSON: `{"shape":[sequence,vocabulary],"logits":[…],"ids":[…]}`, 32-bit floating point, row-major; with `--top K` also
//! `"top":[[{"id","token","logit","probability"}]]`, one list for each position, the most likely token first. `token` is
//! null without a tokenizer.

use super::{
    device_args::{ArithmeticArgs, DeviceArgs},
    error::CliError,
    model_args::ModelArgs,
    output::CommandOutput,
    table::format_table,
    token_text::readable_token,
    tokenizer::{quote_token, warn_unencodable},
};
use crate::page::number_format::format_percent;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_data::{Tokenizer, tokenizer::EncodeOptions};
use kiln_infer::GenerateError;
use kiln_kernels::exact::Arithmetic;
use kiln_models::{Model, Stack};
use kiln_nn::Context;
use kiln_spec::{Direction, DocumentSpan, Layout};
use kiln_train::pretrained::{ModelSource, SourceModel};
use serde_json::{Value, json};

/// Number of tokens that are listed for each position without `--top`.
const DEFAULT_TOP: usize = 1;

/// Arguments of `kiln logits`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Token ids, separated by commas. For an encoder-decoder: the encoder input.
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',', required_unless_present = "text")]
    ids: Vec<i32>,
    /// Text in place of --ids. It is encoded as by `kiln tokenizer encode`, with the special tokens that the tokenizer adds.
    #[arg(long, value_name = "TEXT", conflicts_with = "ids")]
    text: Option<String>,
    /// Decoder input ids of an encoder-decoder (default: its start token).
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',')]
    decoder_ids: Option<Vec<i32>>,
    /// List the K most likely tokens of each position.
    #[arg(long, value_name = "K", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    top: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    arithmetic: ArithmeticArgs,
}

/// Token sequences of a forward pass.
struct Inputs {
    /// The ids whose logits are computed: of the decoder, if the model has one.
    ids: Vec<i32>,
    /// The encoder input of an encoder-decoder.
    encoder_ids: Option<Vec<i32>>,
}

/// A candidate for one position.
struct Candidate {
    id: usize,
    logit: f32,
    probability: f64,
}

/// Computes the logits `[T, vocabulary]` of the ids, or of the decoder ids of an encoder-decoder, and prints the most
/// likely tokens after each id.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let arithmetic = args.arithmetic.arithmetic(&args.device)?;
    let device = args.device.open()?;
    let source = args.model.source()?;
    // With ids, a tokenizer is not needed: one that is missing or unreadable only costs the token texts.
    let tokenizer = source.tokenizer();
    let ids = args.input_ids(tokenizer.as_ref().ok(), &source)?;
    let weights = source.load_model(&device)?;
    weights.model.check_arithmetic(arithmetic).map_err(GenerateError::from)?;
    let inputs = args.inputs(ids, &weights, &source)?;
    let logits = compute_logits(&weights.model, &inputs.ids, inputs.encoder_ids.as_deref(), arithmetic);
    let [length, vocab] = logits.dims();
    let data = logits.into_data().convert::<f32>();
    let values = data
        .as_slice::<f32>()
        .map_err(|error| CliError::failed("device", format!("cannot read results from the device: {error}")))?;
    let top: Vec<Vec<Candidate>> =
        values.chunks_exact(vocab.max(1)).map(|row| top_candidates(row, args.top.unwrap_or(DEFAULT_TOP))).collect();
    let tokenizer = tokenizer.ok();
    let mut json = json!({ "shape": [length, vocab], "logits": values, "ids": inputs.ids });
    if args.top.is_some() {
        json["top"] = top.iter().map(|row| candidates_json(row, tokenizer.as_ref())).collect();
    }
    Ok(CommandOutput::new(json, candidate_table(&inputs.ids, &top, tokenizer.as_ref())))
}

/// The `count` most likely tokens of a row of logits, most likely first; of equal logits, the lower id first.
fn top_candidates(row: &[f32], count: usize) -> Vec<Candidate> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Softmax with the largest logit subtracted, summed in 64 bits: no overflow, and no loss over a large vocabulary.
    let total: f64 = row.iter().map(|logit| f64::from(logit - max).exp()).sum();
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
    let candidates = order.into_iter().take(count);
    candidates.map(|id| Candidate { id, logit: row[id], probability: f64::from(row[id] - max).exp() / total }).collect()
}

/// The text of a token between bars; its id alone without a tokenizer.
fn token_text(id: usize, tokenizer: Option<&Tokenizer>) -> Option<String> {
    let id = u32::try_from(id).ok()?;
    tokenizer.filter(|tokenizer| (id as usize) < tokenizer.vocab_size()).map(|tokenizer| readable_token(tokenizer, id))
}

/// The candidates of one position, as in the JSON result.
fn candidates_json(row: &[Candidate], tokenizer: Option<&Tokenizer>) -> Value {
    let entries = row.iter().map(|Candidate { id, logit, probability }| {
        json!({ "id": id, "token": token_text(*id, tokenizer), "logit": logit, "probability": probability })
    });
    entries.collect()
}

/// One line for each candidate: input id and token, then the candidate's id, token, logit and probability. The input is
/// printed with the first candidate only. Without a tokenizer, the columns of tokens are empty.
fn candidate_table(ids: &[i32], top: &[Vec<Candidate>], tokenizer: Option<&Tokenizer>) -> String {
    let text = |id: usize| token_text(id, tokenizer).map_or(String::new(), |token| quote_token(&token));
    let mut rows = Vec::new();
    for (id, row) in ids.iter().zip(top) {
        for (rank, candidate) in row.iter().enumerate() {
            let input = if rank == 0 { [id.to_string(), text(*id as usize)] } else { Default::default() };
            let [id, token] = [candidate.id.to_string(), text(candidate.id)];
            let numbers = [format!("{:.4}", candidate.logit), format_percent(candidate.probability)];
            rows.push([&input[..], &[id, token], &numbers].concat());
        }
    }
    format_table(&["input", "", "next", "", "logit", "probability"], &rows, &[0, 2, 4, 5])
}

/// Logits `[T, vocabulary]` of one document. An encoder-decoder encodes `encoder_ids` first.
///
/// The ids are read in the direction that the model uses for generation. With prefix visibility, the whole sequence
/// is the prefix. `encoder_ids` must be given for an encoder-decoder, and only for one.
pub fn compute_logits(model: &Model, ids: &[i32], encoder_ids: Option<&[i32]>, arithmetic: Arithmetic) -> Tensor<2> {
    let device = model.device();
    let direction = model.config().effective_visibility().direction(ids.len());
    let mut cx = Context::new(&document_layout(ids.len(), direction), &device).with_arithmetic(arithmetic);
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
    /// The ids of `--ids`, or those of `--text`.
    fn input_ids(&self, tokenizer: Option<&Tokenizer>, source: &ModelSource) -> Result<Vec<i32>, CliError> {
        let Some(text) = &self.text else { return Ok(self.ids.clone()) };
        let Some(tokenizer) = tokenizer else {
            // Opened again for its error.
            source.tokenizer()?;
            return Err(CliError::failed("tokenizer", "the model has no tokenizer").with_location("--text"));
        };
        warn_unencodable(tokenizer, text);
        let options = EncodeOptions { add_special_tokens: true, truncation: None };
        let ids: Vec<i32> =
            tokenizer.encode_for_model(text, None, &options)?.ids.into_iter().map(|id| id as i32).collect();
        if ids.is_empty() {
            return Err(
                CliError::usage("the text has no tokens; give a text with at least one").with_location("--text")
            );
        }
        Ok(ids)
    }

    /// The sequences of the forward pass. An encoder-decoder reads `ids` with its encoder.
    fn inputs(&self, ids: Vec<i32>, weights: &SourceModel, source: &ModelSource) -> Result<Inputs, CliError> {
        self.check_ids(&ids, &weights.model)?;
        match (weights.model.config().stack, &self.decoder_ids) {
            (Stack::EncoderDecoder, Some(decoder_ids)) => {
                Ok(Inputs { ids: decoder_ids.clone(), encoder_ids: Some(ids) })
            }
            (Stack::EncoderDecoder, None) => {
                let start = match weights.decoder_start_token() {
                    Some(start) => start,
                    None => source.tokenizer()?.special_tokens().bos,
                };
                check_decoder_start(start, weights.model.config().vocab)?;
                Ok(Inputs { ids: vec![start as i32], encoder_ids: Some(ids) })
            }
            (_, Some(_)) => Err(CliError::usage("the model is not an encoder-decoder").with_location("--decoder-ids")),
            (_, None) => Ok(Inputs { ids, encoder_ids: None }),
        }
    }

    /// Refuses ids outside the vocabulary and sequences longer than the positions of the model.
    fn check_ids(&self, ids: &[i32], model: &Model) -> Result<(), CliError> {
        let config = model.config();
        let max_positions = model.max_positions();
        let encoder = config.encoder_model_config();
        let max_encoder_positions = encoder.map_or(max_positions, |encoder| encoder.max_positions());
        let flag = if self.text.is_some() { "--text" } else { "--ids" };
        check_sequence(flag, ids, config.vocab, max_encoder_positions)?;
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
    Err(CliError::failed("model", message)
        .with_help("correct it in config.json, or give the decoder's input with --decoder-ids"))
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
