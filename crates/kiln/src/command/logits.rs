//! `logits`: what a model says after each of some tokens.

use super::{device_args::DeviceArgs, error::CliError, model_args::ModelArgs, output::CommandOutput};
use burn::tensor::{Int, Tensor, TensorData};
use kiln_models::{Model, Stack};
use kiln_nn::Context;
use kiln_spec::{DocumentSpan, Layout};
use serde_json::json;

/// Arguments of `logits`.
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

/// Computes them.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let device = args.device.open()?;
    let place = args.model.source()?;
    let weights = place.load_model(&device)?;
    let (start, model) = (weights.decoder_start_token(), weights.model);
    args.check_ids(&model)?;
    let first = match (model.encoder(), &args.decoder_ids, start) {
        (Some(_), None, None) => place.tokenizer()?.special_tokens().bos as i32,
        (.., start) => start.unwrap_or_default() as i32,
    };
    let (own, read) = match (model.config().stack, &args.decoder_ids) {
        (Stack::EncoderDecoder, decoder) => (decoder.clone().unwrap_or_else(|| vec![first]), Some(&args.ids)),
        (_, Some(_)) => return Err(CliError::usage("the model is no encoder–decoder").with_location("--decoder-ids")),
        (_, None) => (args.ids.clone(), None),
    };
    let logits = compute_logits(&model, &own, read.map(Vec::as_slice));
    let [seq, vocab] = logits.dims();
    let data = logits.into_data().convert::<f32>();
    let numbers = data.as_slice::<f32>().map_err(|error| CliError::failed("device", format!("{error:?}")))?;
    let best = numbers.chunks_exact(vocab.max(1)).map(|row| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(String::new(), |(id, logit)| format!("{id} ({logit:.4})"))
    });
    let text = own.iter().zip(best).map(|(id, best)| format!("{id} → {best}")).collect::<Vec<_>>().join("\n");
    Ok(CommandOutput::new(json!({ "shape": [seq, vocab], "logits": numbers }), text))
}

/// Logits `[T, V]` of one document; an encoder–decoder reads `read` first.
pub fn compute_logits(model: &Model, ids: &[i32], read: Option<&[i32]>) -> Tensor<2> {
    let (device, config) = (model.device(), model.config());
    let tokens = |ids: &[i32]| Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), [1, ids.len()]), &device);
    let layout = |length, direction| Layout::packed(&[vec![DocumentSpan { length, start: 0, direction }]], length);
    let direction = config.effective_visibility().direction(ids.len());
    let mut cx = Context::new(&layout(ids.len(), direction), &device);
    if let Some(read) = read {
        model.encode(tokens(read), &layout(read.len(), kiln_spec::Direction::Bidirectional), &mut cx);
    }
    let hidden = model.forward(tokens(ids), &mut cx);
    model.outputs(hidden, &cx)
}

impl Args {
    /// Whether the model can read the ids.
    fn check_ids(&self, model: &Model) -> Result<(), CliError> {
        let (vocab, own) = (model.config().vocab, model.config().position.max_positions());
        let reads = model.config().encoder_model_config().map_or(own, |encoder| encoder.position.max_positions());
        let both = [("--ids", Some(&self.ids), reads), ("--decoder-ids", self.decoder_ids.as_ref(), own)];
        for (flag, ids, limit) in both {
            let odd =
                ids.iter().flat_map(|ids| ids.iter()).find(|id| usize::try_from(**id).map_or(true, |id| id >= vocab));
            if let Some(odd) = odd {
                return Err(CliError::usage(format!("{odd} is no token: ids of the model go from 0 to {}", vocab - 1))
                    .with_location(flag));
            }
            if let Some(limit) = limit.filter(|limit| ids.is_some_and(|ids| ids.len() > *limit)) {
                return Err(CliError::usage(format!("at most {limit} tokens, which its positions end with"))
                    .with_location(flag));
            }
        }
        Ok(())
    }
}
