//! `kiln embed MODEL --text TEXT…`: sentence embeddings.
//!
//! ```console
//! kiln embed models/all-minilm-l6-v2 --text "A cat sleeps." --text "A kitten is asleep."
//! ```
//!
//! JSON: `{"shape":[n,width],"embeddings":[…]}`, 32-bit floating point, row-major. Weights are computed in f32, also if they
//! are stored in 16 bits or quantized.

use super::{device_args::DeviceArgs, error::CliError, model_args::ModelArgs, output::CommandOutput};
use kiln_data::tokenizer::{EncodeOptions, TextSide};
use serde_json::json;

/// Arguments of `kiln embed`.
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

/// Computes one vector per text, pooled and normalized as the `modules.json` of the folder says (without one: mean
/// pooling), and prints the cosine similarity of each pair. Texts that are too long for the model are cut off.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let source = args.model.source()?;
    // An unsupported model is reported before anything about its tokenizer.
    source.config()?;
    let tokenizer = source.tokenizer()?;
    let head = source.embedding_config()?;
    let model = source.load_model(&args.device.open()?)?.model;
    let max_length = [tokenizer.max_length(), model.config().position.max_positions()].into_iter().flatten().min();
    let truncation = max_length.map(|length| (length, TextSide::Right));
    let options = EncodeOptions { truncation, ..EncodeOptions::default() };
    let mut ids = Vec::new();
    for text in &args.text {
        ids.push(tokenizer.encode_input(text, &options)?.ids);
    }
    let vectors = kiln_infer::embed(&model, &ids, head.pooling, head.normalize)?;
    let [count, width] = vectors.dims();
    let data = vectors.into_data().convert::<f32>();
    let values = data
        .as_slice::<f32>()
        .map_err(|error| CliError::failed("device", format!("cannot read results from the device: {error}")))?;
    let rows: Vec<&[f32]> = values.chunks_exact(width.max(1)).collect();
    let lines = rows.iter().zip(&args.text).map(|(row, text)| {
        let similarities: Vec<String> = rows.iter().map(|other| format!("{:6.3}", cosine(row, other))).collect();
        format!("{}  {text}", similarities.join(" "))
    });
    let text = format!("cosine similarity:\n{}", lines.collect::<Vec<_>>().join("\n"));
    Ok(CommandOutput::new(json!({ "shape": [count, width], "embeddings": values }), text))
}

/// Cosine of the angle between two vectors; 0 if one of them is zero.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}

/// Dot product, summed in f64.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
