//! `verify`: whether a model computes the same however it is asked.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    output::{CommandOutput, print_message},
    table::format_table,
};
use burn::tensor::Device;
use kiln_data::{
    Tokenizer,
    chat::{ChatTemplate, ChatTemplateOptions, TemplateClock},
};
use kiln_infer::{block_on, equivalence, tokenizer_checks};
use kiln_kernels::planner::Kernel;
use kiln_spec::Direction;
use kiln_train::pretrained::LoadedModel;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to check on (default: built-in texts). May be repeated.
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// One identity: how far apart the two ways are, and how far they may be.
struct Check {
    name: &'static str,
    /// What isn't asked of this model, and why.
    difference: Result<f64, &'static str>,
    tolerance: f64,
}

/// Largest difference in 32-bit floats, as a share of the largest number.
const TOLERANCE: f64 = 1e-3;

/// What is verified on unless texts are given.
const DEFAULT_TEXTS: [&str; 3] = [
    "The quick brown fox jumps over the lazy dog, and then it sleeps until the evening.",
    "fn main() { println!(\"{}\", 1 + 2); }  // naïve café, 北京, 🙂🙃",
    "Water boils at 100 °C; ice melts at 0.",
];

/// Verifies.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let device = args.device.open()?;
    let place = args.model.source()?;
    let loaded = place.load(&device)?;
    let texts: Vec<&str> = match args.text.is_empty() {
        true => DEFAULT_TEXTS.to_vec(),
        false => args.text.iter().map(String::as_str).collect(),
    };
    let mut checks = model_checks(&loaded, &texts, &device)?;
    checks.extend(chat_checks(&loaded.tokenizer, place.chat()?.as_ref())?);
    let good = |check: &Check| check.difference.map_or(true, |found| found <= check.tolerance);
    let row = |check: &Check| {
        let found = check.difference.map_or("–".to_string(), |found| format!("{found:.1e}"));
        let says = match check.difference {
            Ok(_) if good(check) => "passed",
            Ok(_) => "FAILED",
            Err(reason) => reason,
        };
        vec![check.name.to_string(), found, format!("{:.0e}", check.tolerance), says.to_string()]
    };
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    let text = format_table(&["identity", "apart by", "at most", ""], &rows, &[1, 2]);
    let entry = |check: &Check| json!({ "name": check.name, "apart": check.difference.ok(), "most": check.tolerance, "passed": good(check), "not_asked": check.difference.err() });
    let passed = checks.iter().all(good);
    let json = json!({ "passed": passed, "checks": checks.iter().map(entry).collect::<Vec<Value>>() });
    let answer = CommandOutput::new(json, text);
    Ok(if passed { answer } else { CommandOutput { exit_code: super::error::EXIT_FAILURE, ..answer } })
}

fn model_checks(loaded: &LoadedModel, texts: &[&str], device: &Device) -> Result<Vec<Check>, CliError> {
    let LoadedModel { model, tokenizer, .. } = loaded;
    let limit = model.config().position.max_positions().unwrap_or(64).min(64);
    let cut = |text: &&str| tokenizer.encode(text).into_iter().take(limit).collect::<Vec<u32>>();
    let documents: Vec<Vec<u32>> = texts.iter().map(cut).filter(|ids| !ids.is_empty()).collect();
    if documents.is_empty() {
        return Err(CliError::usage("the texts hold no token").with_location("--text"));
    }
    let direction = model.config().effective_visibility().direction(0);
    let device_failed = |error: burn::tensor::ExecutionError| CliError::failed("device", error.to_string());
    let computed = |name, found: Result<f64, burn::tensor::ExecutionError>| {
        Ok::<_, CliError>(Check { name, difference: Ok(found.map_err(device_failed)?), tolerance: TOLERANCE })
    };
    let mut checks = vec![match direction {
        Direction::Causal => {
            computed("chunked = whole", block_on(equivalence::chunked_difference(model, &documents, &[1, 3])))?
        }
        _ => {
            Check { name: "chunked = whole", difference: Err("every token sees the whole text"), tolerance: TOLERANCE }
        }
    }];
    checks.push(computed("packed = apart", block_on(equivalence::packed_difference(model, &documents, direction)))?);
    checks
        .push(computed("padded = single", block_on(equivalence::padded_difference(model, &documents, direction, 3)))?);
    let fused = *device == Device::flex();
    checks.push(match fused {
        true => computed(
            "fused kernel = reference",
            block_on(equivalence::kernel_difference(
                model,
                &documents[0],
                direction,
                [Kernel::Fused, Kernel::Reference],
            )),
        )?,
        false => Check {
            name: "fused kernel = reference",
            difference: Err("this device has the reference alone"),
            tolerance: TOLERANCE,
        },
    });
    checks.extend(tokenizer_checks(tokenizer, texts));
    Ok(checks)
}

/// What must come back of texts.
fn tokenizer_checks(tokenizer: &Tokenizer, texts: &[&str]) -> [Check; 4] {
    let count = |name, found: usize| Check { name, difference: Ok(found as f64), tolerance: 0.0 };
    [
        count("text → tokens → text", tokenizer_checks::roundtrip_mismatch(tokenizer, texts)),
        count("tokenizer saved = as it was", tokenizer_checks::reload_mismatch(tokenizer, texts)),
        count("token by token = at once", tokenizer_checks::streaming_mismatch(tokenizer, texts)),
        count("places of tokens cover the text", tokenizer_checks::bad_offsets(tokenizer, texts)),
    ]
}

/// A conversation of several turns.
const CONVERSATION: [(&str, &str); 4] = [
    ("user", "What is the capital of France?"),
    ("assistant", "Paris, on the Seine."),
    ("user", "And how much is 2 + 3?"),
    ("assistant", "It is 5."),
];

/// What must come back of a conversation.
fn chat_checks(tokenizer: &Tokenizer, chat: Option<&ChatTemplate>) -> Result<Vec<Check>, CliError> {
    let names = ["template renders a conversation", "its special tokens are single", "its texts come back"];
    let Some(chat) = chat else {
        let check = |name| Check { name, difference: Err("the model has no chat template"), tolerance: 0.0 };
        return Ok(names.map(check).into());
    };
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let options =
        ChatTemplateOptions { now: Some(TemplateClock::from_unix(seconds)), ..ChatTemplateOptions::default() };
    let count = |name, found: usize| Check { name, difference: Ok(found as f64), tolerance: 0.0 };
    let grows = match tokenizer_checks::is_prefix_stable(tokenizer, chat, &CONVERSATION, &options) {
        Ok(grows) => grows,
        Err(error) => {
            print_message(&format!("the template: {error}"));
            return Ok(vec![count(names[0], 1)]);
        }
    };
    let split = tokenizer_checks::split_special_tokens(tokenizer, chat, &CONVERSATION, &options)?;
    if !split.is_empty() {
        print_message(&format!(
            "the template writes what the tokenizer doesn't know as one token: {}",
            split.join(" ")
        ));
    }
    let again = if grows { "yes: `chat` reads only what is new" } else { "no: `chat` reads all anew for each answer" };
    Ok(vec![
        count(names[0], 0),
        count(names[1], split.len()),
        count(names[2], tokenizer_checks::lost_in_template(tokenizer, chat, &CONVERSATION, &options)?),
        Check { name: "a conversation goes on from its beginning", difference: Err(again), tolerance: 0.0 },
    ])
}
