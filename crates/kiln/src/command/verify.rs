//! `verify`: whether a model computes the same however it is asked.

use super::{
    host::HostArgs,
    output::{Answer, say},
    place::ModelArgs,
    table::table,
    trouble::Trouble,
};
use burn::tensor::Device;
use kiln_data::{
    Tokenizer,
    chat::{Chat, ChatOptions, Moment},
};
use kiln_infer::{block_on, identities, texts};
use kiln_kernels::planner::Kernel;
use kiln_spec::Direction;
use kiln_train::pretrained::Loaded;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// A text to verify on; as often as wanted.
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    #[command(flatten)]
    host: HostArgs,
}

/// One identity: how far apart the two ways are, and how far they may be.
struct Check {
    name: &'static str,
    /// What isn't asked of this model, and why.
    found: Result<f64, &'static str>,
    most: f64,
}

/// Largest difference in 32-bit floats, as a share of the largest number.
const MOST: f64 = 1e-3;

/// What is verified on unless texts are given.
const TEXTS: [&str; 3] = [
    "The quick brown fox jumps over the lazy dog, and then it sleeps until the evening.",
    "fn main() { println!(\"{}\", 1 + 2); }  // naïve café, 北京, 🙂🙃",
    "Water boils at 100 °C; ice melts at 0.",
];

/// Verifies.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let device = args.host.device()?;
    let place = args.model.place()?;
    let loaded = place.load(&device)?;
    let texts: Vec<&str> = match args.text.is_empty() {
        true => TEXTS.to_vec(),
        false => args.text.iter().map(String::as_str).collect(),
    };
    let mut checks = checks(&loaded, &texts, &device)?;
    checks.extend(conversation(&loaded.tokenizer, place.chat()?.as_ref())?);
    let good = |check: &Check| check.found.map_or(true, |found| found <= check.most);
    let row = |check: &Check| {
        let found = check.found.map_or("–".to_string(), |found| format!("{found:.1e}"));
        let says = match check.found {
            Ok(_) if good(check) => "passed",
            Ok(_) => "FAILED",
            Err(reason) => reason,
        };
        vec![check.name.to_string(), found, format!("{:.0e}", check.most), says.to_string()]
    };
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    let text = table(&["identity", "apart by", "at most", ""], &rows, &[1, 2]);
    let entry = |check: &Check| json!({ "name": check.name, "apart": check.found.ok(), "most": check.most, "passed": good(check), "not_asked": check.found.err() });
    let passed = checks.iter().all(good);
    let json = json!({ "passed": passed, "checks": checks.iter().map(entry).collect::<Vec<Value>>() });
    let answer = Answer::new(json, text);
    Ok(if passed { answer } else { Answer { code: super::trouble::FAILED, ..answer } })
}

fn checks(loaded: &Loaded, texts: &[&str], device: &Device) -> Result<Vec<Check>, Trouble> {
    let Loaded { model, tokenizer, .. } = loaded;
    let limit = model.config().position.limit().unwrap_or(64).min(64);
    let cut = |text: &&str| tokenizer.encode(text).into_iter().take(limit).collect::<Vec<u32>>();
    let documents: Vec<Vec<u32>> = texts.iter().map(cut).filter(|ids| !ids.is_empty()).collect();
    if documents.is_empty() {
        return Err(Trouble::asked("the texts hold no token").at("--text"));
    }
    let direction = model.config().own_visibility().direction(0);
    let device_failed = |error: burn::tensor::ExecutionError| Trouble::failed("device", error.to_string());
    let computed = |name, found: Result<f64, burn::tensor::ExecutionError>| {
        Ok::<_, Trouble>(Check { name, found: Ok(found.map_err(device_failed)?), most: MOST })
    };
    let mut checks = vec![match direction {
        Direction::Causal => computed("chunked = whole", block_on(identities::chunked(model, &documents, &[1, 3])))?,
        _ => Check { name: "chunked = whole", found: Err("every token sees the whole text"), most: MOST },
    }];
    checks.push(computed("packed = apart", block_on(identities::packed(model, &documents, direction)))?);
    checks.push(computed("padded = single", block_on(identities::padded(model, &documents, direction, 3)))?);
    let fused = *device == Device::flex();
    checks.push(match fused {
        true => computed(
            "fused kernel = reference",
            block_on(identities::kernels(model, &documents[0], direction, [Kernel::Fused, Kernel::Reference])),
        )?,
        false => {
            Check { name: "fused kernel = reference", found: Err("this device has the reference alone"), most: MOST }
        }
    });
    checks.extend(words(tokenizer, texts));
    Ok(checks)
}

/// What must come back of texts.
fn words(tokenizer: &Tokenizer, texts: &[&str]) -> [Check; 4] {
    let count = |name, found: usize| Check { name, found: Ok(found as f64), most: 0.0 };
    [
        count("text → tokens → text", texts::lost(tokenizer, texts)),
        count("tokenizer saved = as it was", texts::changed(tokenizer, texts)),
        count("token by token = at once", texts::torn(tokenizer, texts)),
        count("places of tokens cover the text", texts::misplaced(tokenizer, texts)),
    ]
}

/// A conversation of several turns.
const TURNS: [(&str, &str); 4] = [
    ("user", "What is the capital of France?"),
    ("assistant", "Paris, on the Seine."),
    ("user", "And how much is 2 + 3?"),
    ("assistant", "It is 5."),
];

/// What must come back of a conversation.
fn conversation(tokenizer: &Tokenizer, chat: Option<&Chat>) -> Result<Vec<Check>, Trouble> {
    let names = ["template renders a conversation", "its special tokens are single", "its texts come back"];
    let Some(chat) = chat else {
        let check = |name| Check { name, found: Err("the model has no chat template"), most: 0.0 };
        return Ok(names.map(check).into());
    };
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let options = ChatOptions { now: Some(Moment::from_unix(seconds)), ..ChatOptions::default() };
    let count = |name, found: usize| Check { name, found: Ok(found as f64), most: 0.0 };
    let grows = match texts::grows(tokenizer, chat, &TURNS, &options) {
        Ok(grows) => grows,
        Err(error) => {
            say(&format!("the template: {error}"));
            return Ok(vec![count(names[0], 1)]);
        }
    };
    let split = texts::split(tokenizer, chat, &TURNS, &options)?;
    if !split.is_empty() {
        say(&format!("the template writes what the tokenizer doesn't know as one token: {}", split.join(" ")));
    }
    let again = if grows { "yes: `chat` reads only what is new" } else { "no: `chat` reads all anew for each answer" };
    Ok(vec![
        count(names[0], 0),
        count(names[1], split.len()),
        count(names[2], texts::unheard(tokenizer, chat, &TURNS, &options)?),
        Check { name: "a conversation goes on from its beginning", found: Err(again), most: 0.0 },
    ])
}
