//! `state.json`: where a run stands, sealed with the hashes of the files beside it and with one of its own.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Flawed;
use super::tensors::{self, Tensors};
use crate::error::Flaw;

/// Version of the checkpoint's format; a reader refuses those that it does not know.
const VERSION: u32 = 1;

/// Where a run stands after a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done in this stage.
    pub step: u64,
    /// Steps of the whole stage: what the schedule is laid over.
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Position in the data: how much of its stream the stage has taken.
    pub data: u64,
    /// Validation loss at this step, nats per token, if it was measured; the smallest makes the best checkpoint.
    pub value: Option<f64>,
    /// What the run is made of.
    pub fingerprints: Fingerprints,
    /// What else training wants to find again. Fractions may lose their last bit in JSON: what must stay exact belongs
    /// into the tensors of `train`.
    pub extra: Map<String, Value>,
}

/// Hashes of what a run is made of; a run goes on only with the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// Of the whole recipe.
    pub recipe: String,
    /// Of the tokenizer.
    pub tokenizer: String,
    /// Of the training data.
    pub corpus: String,
}

impl Fingerprints {
    /// The first part in which `self` (saved) and `now` differ: its name, the saved hash and the one now.
    pub fn difference<'a>(&'a self, now: &'a Self) -> Option<(&'static str, &'a str, &'a str)> {
        let parts = [
            ("recipe", &self.recipe, &now.recipe),
            ("tokenizer", &self.tokenizer, &now.tokenizer),
            ("corpus", &self.corpus, &now.corpus),
        ];
        let changed = parts.into_iter().find(|(_, saved, found)| saved != found);
        changed.map(|(what, saved, found)| (what, saved.as_str(), found.as_str()))
    }
}

impl State {
    /// What stands in the header of the tensor file `name`.
    pub(super) fn about(&self, name: &str) -> String {
        json!({ "file": name, "recipe": self.fingerprints.recipe, "step": self.step, "version": VERSION }).to_string()
    }

    /// The validation loss, if it is one that can be the best.
    pub fn finite_value(&self) -> Option<f64> {
        self.value.filter(|value| value.is_finite())
    }
}

/// Size and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    bytes: u64,
    sha256: String,
}

impl Content {
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: sha256(bytes) }
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Flaw> {
        if bytes.len() as u64 != self.bytes {
            return Err(Flaw::new(format!("{} bytes", self.bytes), format!("{} bytes", bytes.len())));
        }
        let found = sha256(bytes);
        let same = found == self.sha256;
        if same { Ok(()) } else { Err(Flaw::new(format!("SHA-256 {}", self.sha256), found)) }
    }
}

/// The SHA-256 of `bytes` in lower-case hexadecimal: the fingerprint used for files, recipes, tokenizers and data.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `state.json` holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Sealed {
    version: u32,
    /// The program that wrote it, for people.
    kiln: String,
    #[serde(flatten)]
    pub state: State,
    files: BTreeMap<String, Content>,
    /// Of the file itself, taken with zeros here.
    seal: String,
}

/// What the seal is while the file's hash is taken.
const UNSEALED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Sealed {
    pub fn new(state: &State, files: BTreeMap<String, Content>) -> Self {
        let (state, kiln, seal) = (state.clone(), env!("CARGO_PKG_VERSION").to_owned(), UNSEALED.to_owned());
        Self { version: VERSION, kiln, state, files, seal }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).expect("a state is strings and numbers");
        text.push('\n');
        let seal = sha256(text.as_bytes());
        let at = text.rfind(UNSEALED).expect("the seal is the last key");
        text.replace_range(at..at + UNSEALED.len(), &seal);
        text.into_bytes()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Flaw> {
        let expected = "the state of a checkpoint as Kiln wrote it";
        let version =
            serde_json::from_slice::<Version>(bytes).map_err(|error| Flaw::new(expected, error.to_string()))?;
        if version.version != VERSION {
            let found = format!("version {}, written by another version of Kiln", version.version);
            return Err(Flaw::new(format!("format version {VERSION}"), found));
        }
        let sealed: Self = serde_json::from_slice(bytes).map_err(|error| Flaw::new(expected, error.to_string()))?;
        let text = String::from_utf8_lossy(bytes);
        match text.rsplit_once(&sealed.seal) {
            Some((before, after)) if sha256(format!("{before}{UNSEALED}{after}").as_bytes()) == sealed.seal => {
                Ok(sealed)
            }
            _ => Err(Flaw::new(expected, "a file that was changed since")),
        }
    }

    /// The tensors of the file `name`, whose bytes are verified first.
    pub fn tensors<E: From<Flawed>>(&self, name: &'static str, bytes: &[u8]) -> Result<Tensors, E> {
        let content = self.files.get(name).ok_or_else(|| Flaw::new("a file named in state.json", "none of that name"));
        let verified = content.and_then(|content| content.check(bytes)).and_then(|()| tensors::decode(bytes));
        verified.map_err(|flaw| E::from((name, flaw)))
    }
}

/// Read before all else: another version may have other keys.
#[derive(Deserialize)]
struct Version {
    version: u32,
}
