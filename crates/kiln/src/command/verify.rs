//! `verify`: whether a model computes the same however it is asked.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    output::{CommandOutput, print_message},
    table::format_table,
};
use burn::tensor::{Device, ExecutionError};
use kiln_data::{
    Tokenizer,
    chat::{ChatTemplate, ChatTemplateOptions, TemplateClock},
};
use kiln_infer::{block_on, equivalence, tokenizer_checks};
use kiln_kernels::planner::Kernel;
use kiln_models::Model;
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

/// One check: two ways of computing the same, and the largest difference allowed between them.
struct Check {
    name: &'static str,
    outcome: Outcome,
    tolerance: f64,
}

/// Result of a check.
#[derive(Clone, Copy)]
enum Outcome {
    /// Largest difference between the two ways.
    Difference(f64),
    /// Nothing was compared, because the model or the device lacks what the check is about; the reason.
    NotApplicable(&'static str),
    /// A property of the model that is neither right nor wrong.
    Note(&'static str),
}

impl Check {
    /// Whether the check passed; `None` if nothing was compared.
    fn passed(&self) -> Option<bool> {
        match self.outcome {
            Outcome::Difference(difference) => Some(difference <= self.tolerance),
            Outcome::NotApplicable(_) | Outcome::Note(_) => None,
        }
    }

    /// Name, difference, tolerance and result, as a row of the table.
    fn row(&self) -> Vec<String> {
        let tolerance = format!("{:.0e}", self.tolerance);
        let [difference, result] = match self.outcome {
            Outcome::Difference(difference) => {
                let result = if self.passed() == Some(true) { "passed" } else { "FAILED" };
                [format!("{difference:.1e}"), result.to_string()]
            }
            Outcome::NotApplicable(reason) => ["–".to_string(), format!("not applicable: {reason}")],
            Outcome::Note(text) => ["–".to_string(), text.to_string()],
        };
        vec![self.name.to_string(), difference, tolerance, result]
    }

    /// The same as JSON; `passed` and `apart` are null if nothing was compared.
    fn json(&self) -> Value {
        let (difference, reason) = match self.outcome {
            Outcome::Difference(difference) => (Some(difference), None),
            Outcome::NotApplicable(text) | Outcome::Note(text) => (None, Some(text)),
        };
        json!({
            "name": self.name,
            "applicable": !matches!(self.outcome, Outcome::NotApplicable(_)),
            "passed": self.passed(),
            "apart": difference,
            "most": self.tolerance,
            "reason": reason,
        })
    }
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
    let rows: Vec<Vec<String>> = checks.iter().map(Check::row).collect();
    let text = format_table(&["identity", "apart by", "at most", ""], &rows, &[1, 2]);
    let passed = checks.iter().all(|check| check.passed() != Some(false));
    let json = json!({ "passed": passed, "checks": checks.iter().map(Check::json).collect::<Vec<Value>>() });
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
    let device_failed = |error: ExecutionError| CliError::failed("device", error.to_string());
    let computed = |name, found: Result<f64, ExecutionError>| {
        Ok::<_, CliError>(Check {
            name,
            outcome: Outcome::Difference(found.map_err(device_failed)?),
            tolerance: TOLERANCE,
        })
    };
    let mut checks = vec![match direction {
        Direction::Causal => {
            computed("chunked = whole", block_on(equivalence::chunked_difference(model, &documents, &[1, 3])))?
        }
        _ => Check {
            name: "chunked = whole",
            outcome: Outcome::NotApplicable("the model is not causal: every token attends to the whole text"),
            tolerance: TOLERANCE,
        },
    }];
    checks.push(computed("packed = apart", block_on(equivalence::packed_difference(model, &documents, direction)))?);
    checks
        .push(computed("padded = single", block_on(equivalence::padded_difference(model, &documents, direction, 3)))?);
    let outcome = fused_kernel_outcome(model, &documents[0], direction, device).map_err(device_failed)?;
    checks.push(Check { name: "fused kernel = reference", outcome, tolerance: TOLERANCE });
    checks.extend(tokenizer_checks(tokenizer, texts));
    Ok(checks)
}

/// Compares the fused attention kernel with the reference, if the device has it and a layer uses it.
fn fused_kernel_outcome(
    model: &Model,
    document: &[u32],
    direction: Direction,
    device: &Device,
) -> Result<Outcome, ExecutionError> {
    if *device != Device::flex() {
        return Ok(Outcome::NotApplicable("this device has no fused kernel"));
    }
    let kernels = [Kernel::Fused, Kernel::Reference];
    let difference = block_on(equivalence::kernel_difference(model, document, direction, kernels))?;
    Ok(difference.map_or(Outcome::NotApplicable("no layer of this model uses the fused kernel"), Outcome::Difference))
}

/// What must come back of texts.
fn tokenizer_checks(tokenizer: &Tokenizer, texts: &[&str]) -> [Check; 4] {
    let count = |name, found: usize| Check { name, outcome: Outcome::Difference(found as f64), tolerance: 0.0 };
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
        let outcome = Outcome::NotApplicable("the model has no chat template");
        return Ok(names.map(|name| Check { name, outcome, tolerance: 0.0 }).into());
    };
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let options =
        ChatTemplateOptions { now: Some(TemplateClock::from_unix(seconds)), ..ChatTemplateOptions::default() };
    let count = |name, found: usize| Check { name, outcome: Outcome::Difference(found as f64), tolerance: 0.0 };
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
        Check { name: "a conversation goes on from its beginning", outcome: Outcome::Note(again), tolerance: 0.0 },
    ])
}
