//! `state.json`: where a run stands, sealed with the hashes of the files beside it and with one of its own.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::CheckpointFileError;
use super::tensors::{self, NamedTensors};
use crate::run_folder_error::CheckpointError;

/// Version of the checkpoint's format; a reader refuses those that it does not know.
const FORMAT_VERSION: u32 = 1;

/// Where a run stands after a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Steps done in this stage.
    pub step: u64,
    /// Steps of the whole stage: what the schedule is laid over.
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Position in the data: how much of its stream the stage has taken.
    #[serde(rename = "data")]
    pub data_position: u64,
    /// Validation loss at this step, nats per token, if it was measured; the smallest makes the best checkpoint.
    #[serde(rename = "value")]
    pub eval_loss: Option<f64>,
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
    pub fn first_mismatch<'a>(&'a self, now: &'a Self) -> Option<(&'static str, &'a str, &'a str)> {
        let parts = [
            ("recipe", &self.recipe, &now.recipe),
            ("tokenizer", &self.tokenizer, &now.tokenizer),
            ("corpus", &self.corpus, &now.corpus),
        ];
        let changed = parts.into_iter().find(|(_, saved, found)| saved != found);
        changed.map(|(what, saved, found)| (what, saved.as_str(), found.as_str()))
    }
}

impl TrainerState {
    /// What stands in the header of the tensor file `name`.
    pub(super) fn metadata(&self, name: &str) -> String {
        json!({ "file": name, "recipe": self.fingerprints.recipe, "step": self.step, "version": FORMAT_VERSION })
            .to_string()
    }

    /// The validation loss, if it is one that can be the best.
    pub fn finite_eval_loss(&self) -> Option<f64> {
        self.eval_loss.filter(|value| value.is_finite())
    }
}

/// Size and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileDigest {
    bytes: u64,
    sha256: String,
}

impl FileDigest {
    pub fn compute(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: sha256_hex(bytes) }
    }

    fn verify(&self, bytes: &[u8]) -> Result<(), CheckpointError> {
        if bytes.len() as u64 != self.bytes {
            return Err(CheckpointError::new(format!("{} bytes", self.bytes), format!("{} bytes", bytes.len())));
        }
        let found = sha256_hex(bytes);
        let same = found == self.sha256;
        if same { Ok(()) } else { Err(CheckpointError::new(format!("SHA-256 {}", self.sha256), found)) }
    }
}

/// The SHA-256 of `bytes` in lower-case hexadecimal: the fingerprint used for files, recipes, tokenizers and data.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `state.json` holds.
#[derive(Serialize, Deserialize)]
pub(super) struct HashedFile {
    version: u32,
    /// The program that wrote it, for people.
    #[serde(rename = "kiln")]
    kiln_version: String,
    #[serde(flatten)]
    pub state: TrainerState,
    files: BTreeMap<String, FileDigest>,
    /// Of the file itself, taken with zeros here.
    #[serde(rename = "seal")]
    file_hash: String,
}

/// What the seal is while the file's hash is taken.
const ZERO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl HashedFile {
    pub fn new(state: &TrainerState, files: BTreeMap<String, FileDigest>) -> Self {
        let (state, kiln, seal) = (state.clone(), env!("CARGO_PKG_VERSION").to_owned(), ZERO_HASH.to_owned());
        Self { version: FORMAT_VERSION, kiln_version: kiln, state, files, file_hash: seal }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).expect("a state is strings and numbers");
        text.push('\n');
        let seal = sha256_hex(text.as_bytes());
        let at = text.rfind(ZERO_HASH).expect("the seal is the last key");
        text.replace_range(at..at + ZERO_HASH.len(), &seal);
        text.into_bytes()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let expected = "the state of a checkpoint as Kiln wrote it";
        let version = serde_json::from_slice::<FormatVersion>(bytes)
            .map_err(|error| CheckpointError::new(expected, error.to_string()))?;
        if version.version != FORMAT_VERSION {
            let found = format!("version {}, written by another version of Kiln", version.version);
            return Err(CheckpointError::new(format!("format version {FORMAT_VERSION}"), found));
        }
        let sealed: Self =
            serde_json::from_slice(bytes).map_err(|error| CheckpointError::new(expected, error.to_string()))?;
        let text = String::from_utf8_lossy(bytes);
        match text.rsplit_once(&sealed.file_hash) {
            Some((before, after))
                if sha256_hex(format!("{before}{ZERO_HASH}{after}").as_bytes()) == sealed.file_hash =>
            {
                Ok(sealed)
            }
            _ => Err(CheckpointError::new(expected, "a file that was changed since")),
        }
    }

    /// The tensors of the file `name`, whose bytes are verified first.
    pub fn verify_tensors<E: From<CheckpointFileError>>(
        &self,
        name: &'static str,
        bytes: &[u8],
    ) -> Result<NamedTensors, E> {
        let content =
            self.files.get(name).ok_or_else(|| CheckpointError::new("a file named in state.json", "none of that name"));
        let verified = content.and_then(|content| content.verify(bytes)).and_then(|()| tensors::decode(bytes));
        verified.map_err(|flaw| E::from((name, flaw)))
    }
}

/// Read before all else: another version may have other keys.
#[derive(Deserialize)]
struct FormatVersion {
    version: u32,
}
