//! `kiln embed MODEL --text TEXT…`: sentence embeddings.
//!
//! ```console
//! kiln embed models/all-minilm-l6-v2 --text "A cat sleeps." --text "A kitten is asleep."
//! ```
//!
//! JSON: `{"shape":[n,width],"embeddings":[…],"prompt":…,"similarity":…,"similarities":[…]}`; embeddings are 32-bit
//! floating point, row-major; similarities are those of each pair, row-major. Weights are computed in f32, also if they
//! are stored in 16 bits or quantized.

use super::{
    device_args::{ArithmeticArgs, DeviceArgs},
    error::CliError,
    model_args::ModelArgs,
    output::CommandOutput,
};
use kiln_infer::SentenceEncoder;
use kiln_pretrained::sentence::SentenceConfig;
use serde_json::json;

/// Arguments of `kiln embed`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to embed. May be repeated.
    #[arg(long, value_name = "TEXT", required = true)]
    text: Vec<String>,
    /// Text before every text (default: the model's default prompt).
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Name of a prompt of the model (config_sentence_transformers.json).
    #[arg(long, value_name = "NAME", conflicts_with = "prompt")]
    prompt_name: Option<String>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    arithmetic: ArithmeticArgs,
}

/// Computes one vector per text, as the files of a sentence encoder say or as a run was trained (else: the mean over tokens), and
/// prints the similarity of each pair. Texts that are too long for the model are cut off.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let arithmetic = args.arithmetic.arithmetic(&args.device)?;
    let source = args.model.source()?;
    // An unsupported model is reported before anything about its tokenizer.
    source.config()?;
    let tokenizer = source.tokenizer()?;
    // A wrong prompt is reported before the weights are read.
    prompt(args, &source.sentence_config()?)?;
    let model = source.load_model(&args.device.open()?)?.model;
    let config = source.sentence_config_of(&model)?;
    let prompt = prompt(args, &config)?;
    let encoder = SentenceEncoder { model: &model, tokenizer: &tokenizer, config: &config };
    let vectors = encoder.encode_in(&args.text, prompt, arithmetic)?;
    let [count, width] = vectors.dims();
    let data = vectors.into_data().convert::<f32>();
    let values = data
        .as_slice::<f32>()
        .map_err(|error| CliError::failed("device", format!("cannot read results from the device: {error}")))?;
    let rows: Vec<&[f32]> = values.chunks_exact(width.max(1)).collect();
    let similarities = rows.iter().map(|row| rows.iter().map(|other| config.similarity.of(row, other)).collect());
    let similarities: Vec<Vec<f64>> = similarities.collect();
    let json = json!({
        "shape": [count, width], "embeddings": values, "prompt": prompt, "similarity": config.similarity.name(),
        "similarities": similarities.concat(),
    });
    Ok(CommandOutput::new(json, similarity_table(args, &config, prompt, &similarities)))
}

/// The prompt: given as text, or by name, or the default of the model.
fn prompt<'a>(args: &'a Args, config: &'a SentenceConfig) -> Result<&'a str, CliError> {
    if let Some(prompt) = &args.prompt {
        return Ok(prompt);
    }
    config.prompts.get(args.prompt_name.as_deref()).map_err(|error| {
        let failed = CliError::failed("unknown", error.reason).with_location("--prompt-name");
        match error.suggestion {
            Some(help) => failed.with_help(help),
            None => failed,
        }
    })
}

/// The similarity of each pair of texts, a row a text.
fn similarity_table(args: &Args, config: &SentenceConfig, prompt: &str, similarities: &[Vec<f64>]) -> String {
    let lines = similarities.iter().zip(&args.text).map(|(row, text)| {
        let row: Vec<String> = row.iter().map(|similarity| format!("{similarity:6.3}")).collect();
        format!("{}  {text}", row.join(" "))
    });
    let prompt = if prompt.is_empty() { String::new() } else { format!(" (prompt: {prompt:?})") };
    format!("{} similarity{prompt}:\n{}", config.similarity.name(), lines.collect::<Vec<_>>().join("\n"))
}
