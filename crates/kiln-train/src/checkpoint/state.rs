//! `state.json`: progress of a run, with the hashes of the other checkpoint files and a hash of itself.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::CheckpointFileError;
use super::tensors::{self, NamedTensors};
use crate::run_folder_error::CheckpointError;

/// Version of the checkpoint format. Other versions are refused.
const FORMAT_VERSION: u32 = 1;

/// Progress of a run after a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Number of completed steps of this stage.
    pub step: u64,
    /// Number of steps of the whole stage, on which the schedule depends.
    pub steps: u64,
    /// Number of training tokens of the run so far, without padding.
    pub tokens: u64,
    /// Position in the training data: number of rows that the stage has taken, step · batch_size.
    #[serde(rename = "data")]
    pub data_position: u64,
    /// Validation loss after this step, in nats per token. Absent: not evaluated. The best checkpoint is the one with the
    /// smallest.
    #[serde(rename = "value")]
    pub eval_loss: Option<f64>,
    /// Hashes of recipe, tokenizer and corpus.
    pub fingerprints: Fingerprints,
    /// Further values, such as `seconds`. Floats may lose their last bit in JSON: values that must be exact belong to the
    /// training tensors.
    pub extra: Map<String, Value>,
}

/// Hashes of what a run is made from. A run is resumed only if all are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// Hash of the recipe, as TOML with all defaults.
    pub recipe: String,
    /// Hash of the tokenizer.
    pub tokenizer: String,
    /// Hash of the training tokens.
    pub corpus: String,
}

impl Fingerprints {
    /// The first part in which `self`, the saved fingerprints, and `now` differ: its name, the saved and the current hash.
    pub fn first_mismatch<'a>(&'a self, now: &'a Self) -> Option<(&'static str, &'a str, &'a str)> {
        let parts = [
            ("recipe", &self.recipe, &now.recipe),
            ("tokenizer", &self.tokenizer, &now.tokenizer),
            ("corpus", &self.corpus, &now.corpus),
        ];
        let mismatch = parts.into_iter().find(|(_, saved, current)| saved != current);
        mismatch.map(|(part, saved, current)| (part, saved.as_str(), current.as_str()))
    }
}

impl TrainerState {
    /// Metadata in the header of the tensor file `name`, as JSON.
    pub(super) fn metadata(&self, name: &str) -> String {
        json!({ "file": name, "recipe": self.fingerprints.recipe, "step": self.step, "version": FORMAT_VERSION })
            .to_string()
    }

    /// The validation loss, if it was evaluated and is finite.
    pub fn finite_eval_loss(&self) -> Option<f64> {
        self.eval_loss.filter(|value| value.is_finite())
    }
}

/// Size and SHA-256 of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    bytes: u64,
    sha256: String,
}

impl FileDigest {
    /// Size and hash of `bytes`.
    pub fn compute(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: sha256_hex(bytes) }
    }

    /// Size and hash of what `reader` returns, read in pieces.
    ///
    /// # Errors
    /// The first error of `reader`.
    pub fn read(mut reader: impl std::io::Read) -> std::io::Result<Self> {
        let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; 1 << 20]);
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(Self { bytes, sha256: hex(&hash.finalize()) }),
                length => {
                    hash.update(&piece[..length]);
                    bytes += length as u64;
                }
            }
        }
    }

    /// Checks size and hash of `bytes`.
    fn verify(&self, bytes: &[u8]) -> Result<(), CheckpointError> {
        if bytes.len() as u64 != self.bytes {
            return Err(CheckpointError::new(format!("{} bytes", self.bytes), format!("{} bytes", bytes.len())));
        }
        let found = sha256_hex(bytes);
        match found == self.sha256 {
            true => Ok(()),
            false => Err(CheckpointError::new(format!("SHA-256 {}", self.sha256), found)),
        }
    }
}

/// SHA-256 of `bytes` in lower-case hexadecimal: the fingerprint of files, recipes, tokenizers and data.
///
/// ```
/// let hash = kiln_train::checkpoint::sha256_hex(b"abc");
/// assert!(hash.starts_with("ba7816bf"));
/// ```
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Content of `state.json`. The hash of the file is its last key.
#[derive(Serialize, Deserialize)]
pub(super) struct HashedFile {
    version: u32,
    /// Version of the Kiln that wrote the file. Not read.
    #[serde(rename = "kiln")]
    kiln_version: String,
    #[serde(flatten)]
    pub state: TrainerState,
    files: BTreeMap<String, FileDigest>,
    /// SHA-256 of the file with zeros in place of this hash.
    #[serde(rename = "seal")]
    file_hash: String,
}

/// Value of the hash while the hash is computed.
const ZERO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl HashedFile {
    pub fn new(state: &TrainerState, files: BTreeMap<String, FileDigest>) -> Self {
        Self {
            version: FORMAT_VERSION,
            kiln_version: env!("CARGO_PKG_VERSION").to_owned(),
            state: state.clone(),
            files,
            file_hash: ZERO_HASH.to_owned(),
        }
    }

    /// The bytes of the file, with its hash.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).expect("a state is strings and numbers");
        text.push('\n');
        let hash = sha256_hex(text.as_bytes());
        let hash_start = text.rfind(ZERO_HASH).expect("the hash is the last key");
        text.replace_range(hash_start..hash_start + ZERO_HASH.len(), &hash);
        text.into_bytes()
    }

    /// Reads the bytes of the file and verifies its hash.
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let expected = "the state of a checkpoint, unchanged since Kiln wrote it";
        let version = serde_json::from_slice::<FormatVersion>(bytes)
            .map_err(|error| CheckpointError::new(expected, error.to_string()))?;
        if version.version != FORMAT_VERSION {
            let found = format!("version {}, written by another version of Kiln", version.version);
            return Err(CheckpointError::new(format!("format version {FORMAT_VERSION}"), found));
        }
        let hashed: Self =
            serde_json::from_slice(bytes).map_err(|error| CheckpointError::new(expected, error.to_string()))?;
        let text = String::from_utf8_lossy(bytes);
        match text.rsplit_once(&hashed.file_hash) {
            Some((before, after))
                if sha256_hex(format!("{before}{ZERO_HASH}{after}").as_bytes()) == hashed.file_hash =>
            {
                Ok(hashed)
            }
            _ => Err(CheckpointError::new(expected, "a file with another hash")),
        }
    }

    /// Verifies the bytes of the file `name`, and reads its tensors.
    pub fn verify_tensors<E: From<CheckpointFileError>>(
        &self,
        name: &'static str,
        bytes: &[u8],
    ) -> Result<NamedTensors, E> {
        let verified = match self.files.get(name) {
            Some(digest) => digest.verify(bytes),
            None => Err(CheckpointError::new("a hash of this file in state.json", "none")),
        };
        verified.and_then(|()| tensors::decode(bytes)).map_err(|error| E::from((name, error)))
    }
}

/// The version of a state file. It is read first, since another version may have other keys.
#[derive(Deserialize)]
struct FormatVersion {
    version: u32,
}
