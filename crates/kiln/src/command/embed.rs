//! `embed`: texts as vectors.

use super::{device_args::DeviceArgs, error::CliError, model_args::ModelArgs, output::CommandOutput};
use kiln_data::tokenizer::{EncodeOptions, TextSide};
use serde_json::json;

/// Arguments of `embed`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to embed. May be repeated.
    #[arg(long, value_name = "TEXT", required = true)]
    text: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Computes them: pooled and normalised as the folder's `modules.json` says; without one, the mean of all tokens.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let place = args.model.source()?;
    place.config()?;
    let (tokenizer, head) = (place.tokenizer()?, place.embedding_config()?);
    let model = place.load_model(&args.device.open()?)?.model;
    let longest = [tokenizer.max_length(), model.config().position.max_positions()].into_iter().flatten().min();
    let how = EncodeOptions { truncation: longest.map(|most| (most, TextSide::Right)), ..EncodeOptions::default() };
    let ids = args.text.iter().map(|text| Ok(tokenizer.encode_for_model(text, None, &how)?.ids));
    let ids = ids.collect::<Result<Vec<_>, CliError>>()?;
    let vectors = kiln_infer::embed(&model, &ids, head.pooling, head.normalize)?;
    let [count, width] = vectors.dims();
    let data = vectors.into_data().convert::<f32>();
    let numbers = data.as_slice::<f32>().map_err(|error| CliError::failed("device", format!("{error:?}")))?;
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
    Ok(CommandOutput::new(json!({ "shape": [count, width], "embeddings": numbers }), text))
}
