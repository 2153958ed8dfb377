//! `logits`: what a model says after each of some tokens.

use super::{host::HostArgs, output::Answer, place::ModelArgs, trouble::Trouble};
use burn::tensor::{Int, Tensor, TensorData};
use kiln_models::{Model, Stack};
use kiln_nn::Cx;
use kiln_spec::{Layout, Piece};
use serde_json::json;

/// Arguments of `logits`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Token ids with commas between them; those that the encoder of an encoder–decoder reads.
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',', required = true)]
    ids: Vec<i32>,
    /// Token ids that the decoder of an encoder–decoder reads; the token that it begins with, if not said.
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',')]
    decoder_ids: Option<Vec<i32>>,
    #[command(flatten)]
    host: HostArgs,
}

/// Computes them.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let device = args.host.device()?;
    let place = args.model.place()?;
    let weights = place.weights(&device)?;
    let (start, model) = (weights.start(), weights.model);
    args.check(&model)?;
    let first = match (model.encoder(), &args.decoder_ids, start) {
        (Some(_), None, None) => place.tokenizer()?.specials().bos as i32,
        (.., start) => start.unwrap_or_default() as i32,
    };
    let (own, read) = match (model.config().stack, &args.decoder_ids) {
        (Stack::EncoderDecoder, decoder) => (decoder.clone().unwrap_or_else(|| vec![first]), Some(&args.ids)),
        (_, Some(_)) => return Err(Trouble::asked("the model is no encoder–decoder").at("--decoder-ids")),
        (_, None) => (args.ids.clone(), None),
    };
    let logits = computed(&model, &own, read.map(Vec::as_slice));
    let [seq, vocab] = logits.dims();
    let data = logits.into_data().convert::<f32>();
    let numbers = data.as_slice::<f32>().map_err(|error| Trouble::failed("device", format!("{error:?}")))?;
    let best = numbers.chunks_exact(vocab.max(1)).map(|row| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(String::new(), |(id, logit)| format!("{id} ({logit:.4})"))
    });
    let text = own.iter().zip(best).map(|(id, best)| format!("{id} → {best}")).collect::<Vec<_>>().join("\n");
    Ok(Answer::new(json!({ "shape": [seq, vocab], "logits": numbers }), text))
}

/// Logits `[T, V]` of one document; an encoder–decoder reads `read` first.
pub fn computed(model: &Model, ids: &[i32], read: Option<&[i32]>) -> Tensor<2> {
    let (device, config) = (model.device(), model.config());
    let tokens = |ids: &[i32]| Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), [1, ids.len()]), &device);
    let layout = |length, direction| Layout::packed(&[vec![Piece { length, start: 0, direction }]], length);
    let direction = config.own_visibility().direction(ids.len());
    let mut cx = Cx::new(&layout(ids.len(), direction), &device);
    if let Some(read) = read {
        model.encode(tokens(read), &layout(read.len(), kiln_spec::Direction::Bidirectional), &mut cx);
    }
    let hidden = model.forward(tokens(ids), &mut cx);
    model.outputs(hidden, &cx)
}

impl Args {
    /// Whether the model can read the ids.
    fn check(&self, model: &Model) -> Result<(), Trouble> {
        let (vocab, own) = (model.config().vocab, model.config().position.limit());
        let reads = model.config().as_encoder().map_or(own, |encoder| encoder.position.limit());
        let both = [("--ids", Some(&self.ids), reads), ("--decoder-ids", self.decoder_ids.as_ref(), own)];
        for (flag, ids, limit) in both {
            let odd =
                ids.iter().flat_map(|ids| ids.iter()).find(|id| usize::try_from(**id).map_or(true, |id| id >= vocab));
            if let Some(odd) = odd {
                return Err(
                    Trouble::asked(format!("{odd} is no token: ids of the model go from 0 to {}", vocab - 1)).at(flag)
                );
            }
            if let Some(limit) = limit.filter(|limit| ids.is_some_and(|ids| ids.len() > *limit)) {
                return Err(Trouble::asked(format!("at most {limit} tokens, which its positions end with")).at(flag));
            }
        }
        Ok(())
    }
}
