//! `embed`: texts as vectors.

use super::{host::HostArgs, output::Answer, place::ModelArgs, trouble::Trouble};
use kiln_data::tokenizer::{End, Preparation};
use serde_json::json;

/// Arguments of `embed`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// A text; as often as wanted.
    #[arg(long, value_name = "TEXT", required = true)]
    text: Vec<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// Computes them: pooled and normalised as the folder's `modules.json` says; without one, the mean of all tokens.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let place = args.model.place()?;
    place.config()?;
    let (tokenizer, head) = (place.tokenizer()?, place.sentence()?);
    let model = place.weights(&args.host.device()?)?.model;
    let longest = [tokenizer.longest(), model.config().position.limit()].into_iter().flatten().min();
    let how = Preparation { truncation: longest.map(|most| (most, End::Right)), ..Preparation::default() };
    let ids = args.text.iter().map(|text| Ok(tokenizer.prepare(text, None, &how)?.ids));
    let ids = ids.collect::<Result<Vec<_>, Trouble>>()?;
    let vectors = kiln_infer::embed(&model, &ids, head.pool, head.normalise)?;
    let [count, width] = vectors.dims();
    let data = vectors.into_data().convert::<f32>();
    let numbers = data.as_slice::<f32>().map_err(|error| Trouble::failed("device", format!("{error:?}")))?;
    let likeness = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
    };
    let rows: Vec<&[f32]> = numbers.chunks_exact(width.max(1)).collect();
    let row = |i: usize| {
        let alike: Vec<String> = rows.iter().map(|other| format!("{:6.3}", likeness(rows[i], other))).collect();
        format!("{}  {}", alike.join(" "), args.text[i])
    };
    let text = format!("cosine of each text with each:\n{}", (0..count).map(row).collect::<Vec<_>>().join("\n"));
    Ok(Answer::new(json!({ "shape": [count, width], "embeddings": numbers }), text))
}
