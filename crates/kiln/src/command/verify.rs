//! `kiln verify MODEL`: checks that all ways of running a model give the same results.
//!
//! ```console
//! kiln verify models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
//! ```
//!
//! | check | compares |
//! |---|---|
//! | chunked = whole | a sequence in chunks of 1 and 3 tokens with a key-value cache, and in one call |
//! | packed = separate | several documents in one sequence, and each alone |
//! | padded = unpadded | a batch with padding, and each sequence alone |
//! | fused kernel = reference | the fused kernels, and the reference kernels |
//! | exact: together = alone | in batch-invariant arithmetic (`--exact`): padded, packed and chunked, and each alone; the number of values with other bits |
//! | rows = alone | rows of decode state that are selected, joined, forked and truncated, and each sequence alone |
//! | decoded = text, … | the tokenizer: round trip, reload, streamed decoding, offsets |
//! | chat template … | the template: it renders, its special tokens are single tokens, no message is lost |
//!
//! JSON: `{"passed","checks":[{"name","applicable","passed","difference","tolerance","reason"}]}`: the difference, its bound, and why a
//! check does not apply.

use super::{
    device_args::DeviceArgs,
    error::{CliError, EXIT_FAILURE},
    model_args::ModelArgs,
    output::{CommandOutput, print_message},
    table::format_table,
};
use burn::tensor::{Device, ExecutionError};
use kiln_data::{
    Tokenizer,
    chat::{ChatTemplate, ChatTemplateOptions, TemplateClock},
};
use kiln_infer::{
    block_on, equivalence,
    equivalence::exact::{Arrangement, ExactReference},
    row_equivalence, tokenizer_checks,
};
use kiln_kernels::{exact::Arithmetic, planner::Kernel};
use kiln_models::Model;
use kiln_pretrained::Pretrained;
use kiln_spec::Direction;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `kiln verify`.
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

/// An identity that was checked.
struct Check {
    name: &'static str,
    outcome: Outcome,
    /// Largest difference that passes.
    tolerance: f64,
}

/// Result of a check.
#[derive(Clone, Copy)]
enum Outcome {
    /// Largest difference between the two results.
    Difference(f64),
    /// Nothing was compared, because the model or the device lacks what the check is about; the reason.
    NotApplicable(&'static str),
    /// A property of the model that neither passes nor fails.
    Note(&'static str),
}

/// Largest difference between two results in 32-bit floating point, relative to the largest value.
const TOLERANCE: f64 = 1e-3;

/// Maximum number of tokens per text, because some checks run the model once per token.
const MAX_TOKENS: usize = 64;

/// Texts that are checked without `--text`: prose, code with several scripts and emoji, numbers with units.
const DEFAULT_TEXTS: [&str; 3] = [
    "The quick brown fox jumps over the lazy dog, and then it sleeps until the evening.",
    "fn main() { println!(\"{}\", 1 + 2); }  // naïve café, 北京, 🙂🙃",
    "Water boils at 100 °C; ice melts at 0.",
];

/// Conversation that the chat template is checked on.
const CONVERSATION: [(&str, &str); 4] = [
    ("user", "What is the capital of France?"),
    ("assistant", "Paris, on the Seine."),
    ("user", "And how much is 2 + 3?"),
    ("assistant", "It is 5."),
];

/// Runs all checks. The exit code is 1 if one of them fails.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let device = args.device.open()?;
    let source = args.model.source()?;
    let loaded = source.load(&device)?;
    let texts: Vec<&str> = match args.text.is_empty() {
        true => DEFAULT_TEXTS.to_vec(),
        false => args.text.iter().map(String::as_str).collect(),
    };
    let mut checks = model_checks(&loaded, &texts, &device)?;
    checks.extend(tokenizer_checks(&loaded.tokenizer, &texts));
    checks.extend(chat_checks(&loaded.tokenizer, source.chat_template()?.as_ref())?);
    let passed = checks.iter().all(|check| check.passed() != Some(false));
    let rows: Vec<Vec<String>> = checks.iter().map(Check::table_row).collect();
    let json = json!({ "passed": passed, "checks": checks.iter().map(Check::to_json).collect::<Vec<_>>() });
    let table = format_table(&["check", "difference", "tolerance", "result"], &rows, &[1, 2]);
    let output = CommandOutput::new(json, table);
    Ok(if passed { output } else { CommandOutput { exit_code: EXIT_FAILURE, ..output } })
}

impl Check {
    /// A difference of floating-point results.
    fn computed(name: &'static str, difference: Result<f64, ExecutionError>) -> Result<Self, CliError> {
        let difference = difference.map_err(|error| CliError::failed("device", error.to_string()))?;
        Ok(Self { name, outcome: Outcome::Difference(difference), tolerance: TOLERANCE })
    }

    /// A number of mismatches, of which none is allowed.
    fn counted(name: &'static str, mismatches: usize) -> Self {
        Self { name, outcome: Outcome::Difference(mismatches as f64), tolerance: 0.0 }
    }

    /// A check that does not apply.
    fn not_applicable(name: &'static str, reason: &'static str, tolerance: f64) -> Self {
        Self { name, outcome: Outcome::NotApplicable(reason), tolerance }
    }

    /// Whether the check passed; `None` if nothing was compared.
    fn passed(&self) -> Option<bool> {
        match self.outcome {
            Outcome::Difference(difference) => Some(difference <= self.tolerance),
            Outcome::NotApplicable(_) | Outcome::Note(_) => None,
        }
    }

    /// Name, difference, tolerance and result.
    fn table_row(&self) -> Vec<String> {
        let [difference, result] = match self.outcome {
            Outcome::Difference(difference) => {
                let result = if self.passed() == Some(true) { "passed" } else { "FAILED" };
                [format!("{difference:.1e}"), result.to_string()]
            }
            Outcome::NotApplicable(reason) => ["–".to_string(), format!("not applicable: {reason}")],
            Outcome::Note(text) => ["–".to_string(), text.to_string()],
        };
        vec![self.name.to_string(), difference, format!("{:.0e}", self.tolerance), result]
    }

    /// The check as JSON. `passed` and `apart` are null if nothing was compared; `reason` then says why.
    fn to_json(&self) -> Value {
        let (difference, reason) = match self.outcome {
            Outcome::Difference(difference) => (Some(difference), None),
            Outcome::NotApplicable(text) | Outcome::Note(text) => (None, Some(text)),
        };
        json!({
            "name": self.name,
            "applicable": !matches!(self.outcome, Outcome::NotApplicable(_)),
            "passed": self.passed(),
            "difference": difference,
            "tolerance": self.tolerance,
            "reason": reason,
        })
    }
}

/// Checks of the model: chunked, packed and padded input, and the fused kernels.
///
/// Texts are cut off after [`MAX_TOKENS`] tokens, or at the number of positions of the model.
fn model_checks(loaded: &Pretrained, texts: &[&str], device: &Device) -> Result<Vec<Check>, CliError> {
    let Pretrained { model, tokenizer, .. } = loaded;
    let max_tokens = model.max_positions().unwrap_or(MAX_TOKENS).min(MAX_TOKENS);
    let mut documents: Vec<Vec<u32>> = Vec::new();
    for text in texts {
        let ids: Vec<u32> = tokenizer.encode(text).into_iter().take(max_tokens).collect();
        tokenizer.check_rows(&ids, model.config().vocab)?;
        documents.push(ids);
    }
    documents.retain(|ids| !ids.is_empty());
    if documents.is_empty() {
        return Err(CliError::usage("the texts have no tokens").with_location("--text"));
    }
    let direction = model.config().effective_visibility().direction(0);
    let chunked = "chunked = whole";
    let rows = "rows = alone";
    let fused = "fused kernel = reference";
    let [chunked, rows] = if direction == Direction::Causal {
        [
            Check::computed(chunked, block_on(equivalence::chunked_difference(model, &documents, &[1, 3])))?,
            Check::computed(rows, block_on(row_equivalence::rows_difference(model, &documents, 3)))?,
        ]
    } else {
        [chunked, rows].map(|name| Check::not_applicable(name, "attention is not causal", TOLERANCE))
    };
    Ok(vec![
        chunked,
        Check::computed("packed = separate", block_on(equivalence::packed_difference(model, &documents, direction)))?,
        Check::computed(
            "padded = unpadded",
            block_on(equivalence::padded_difference(model, &documents, direction, 3)),
        )?,
        if *device == Device::flex() {
            let kernels = [Kernel::Fused, Kernel::Reference];
            match block_on(equivalence::kernel_difference(model, &documents[0], direction, kernels)).transpose() {
                Some(difference) => Check::computed(fused, difference)?,
                None => Check::not_applicable(fused, "no layer of the model uses the fused kernel", TOLERANCE),
            }
        } else {
            Check::not_applicable(fused, "this device has no fused kernels", TOLERANCE)
        },
        rows,
        exact_check(model, &documents, direction, device)?,
    ])
}

/// Counts the values whose bits depend on how documents are computed, in batch-invariant arithmetic.
fn exact_check(
    model: &Model,
    documents: &[Vec<u32>],
    direction: Direction,
    device: &Device,
) -> Result<Check, CliError> {
    let name = "exact: together = alone";
    if *device != Device::flex() {
        return Ok(Check::not_applicable(name, "this device has no batch-invariant kernels", 0.0));
    }
    if model.check_arithmetic(Arithmetic::Exact).is_err() {
        return Ok(Check::not_applicable(name, "a component of the model has no batch-invariant arithmetic", 0.0));
    }
    let failed = |error: ExecutionError| CliError::failed("device", error.to_string());
    let reference = block_on(ExactReference::new(model, documents, direction)).map_err(failed)?;
    let mut arrangements = vec![Arrangement::PaddedLeft(3), Arrangement::PaddedRight(0), Arrangement::Packed];
    if direction == Direction::Causal {
        arrangements.extend([
            Arrangement::Chunked(vec![1]),
            Arrangement::Chunked(vec![3, 20]),
            Arrangement::Rejoined(vec![2, 7]),
        ]);
    }
    let counts = arrangements.iter().map(|arrangement| block_on(reference.differing_values(arrangement)));
    Ok(Check::counted(name, counts.sum::<Result<usize, _>>().map_err(failed)?))
}

/// Checks of the tokenizer: round trip, reload, streaming and offsets.
fn tokenizer_checks(tokenizer: &Tokenizer, texts: &[&str]) -> [Check; 4] {
    [
        Check::counted("decoded = text", tokenizer_checks::roundtrip_mismatch(tokenizer, texts)),
        Check::counted("reloaded tokenizer = original", tokenizer_checks::reload_mismatch(tokenizer, texts)),
        Check::counted("streamed decoding = whole", tokenizer_checks::streaming_mismatch(tokenizer, texts)),
        Check::counted("offsets cover the text", tokenizer_checks::bad_offsets(tokenizer, texts)),
    ]
}

/// Checks of the chat template: it renders, its special tokens are single tokens, and no text is lost.
///
/// If the template cannot be rendered, the remaining checks are left out. The last entry reports whether the cache of
/// earlier turns can be reused, and cannot fail.
fn chat_checks(tokenizer: &Tokenizer, chat: Option<&ChatTemplate>) -> Result<Vec<Check>, CliError> {
    let names = ["chat template renders", "template special tokens are single", "messages survive the template"];
    let Some(chat) = chat else {
        let reason = "the model has no chat template";
        return Ok(names.map(|name| Check::not_applicable(name, reason, 0.0)).into());
    };
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = Some(TemplateClock::from_unix(seconds));
    let options = ChatTemplateOptions { now, ..ChatTemplateOptions::default() };
    let is_stable = match tokenizer_checks::is_prefix_stable(tokenizer, chat, &CONVERSATION, &options) {
        Ok(is_stable) => is_stable,
        Err(error) => {
            print_message(&format!("chat template: {error}"));
            return Ok(vec![Check::counted(names[0], 1)]);
        }
    };
    let split = tokenizer_checks::split_special_tokens(tokenizer, chat, &CONVERSATION, &options)?;
    if !split.is_empty() {
        print_message(&format!("special tokens of the chat template that are not single tokens: {}", split.join(" ")));
    }
    let lost = tokenizer_checks::lost_in_template(tokenizer, chat, &CONVERSATION, &options)?;
    let cache_use = match is_stable {
        true => "yes: `kiln chat` reuses the cache of earlier turns",
        false => "no: `kiln chat` reads the whole conversation again for each reply",
    };
    Ok(vec![
        Check::counted(names[0], 0),
        Check::counted(names[1], split.len()),
        Check::counted(names[2], lost),
        Check { name: "conversations extend their prefix", outcome: Outcome::Note(cache_use), tolerance: 0.0 },
    ])
}
