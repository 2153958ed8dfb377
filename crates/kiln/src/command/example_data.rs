//! Built-in examples of each kind, for the picture of an objective without data of its own.

use super::error::CliError;
use kiln_data::ExampleKind;
use std::{
    fs,
    path::{Path, PathBuf},
};

// Two rows of each kind: the small tokenizer of the example is trained on them.
const CONVERSATIONS: &str = r#"{"messages":[{"role":"user","content":"Where is the kite?"},{"role":"assistant","content":"In the tree."},{"role":"user","content":"Who can get it?"},{"role":"assistant","content":"Ann can."}]}
{"messages":[{"role":"user","content":"Is the kite red?"},{"role":"assistant","content":"Yes, it is."}]}"#;
const COMPLETIONS: &str = r#"{"prompt":"Ann lost her kite. Where is it? ","completion":"It is in the tree."}
{"prompt":"Ben has a hat. Who has a hat? ","completion":"Ben has one."}"#;
const PREFERENCES: &str = r#"{"prompt":"Where is the kite? ","chosen":"In the tree.","rejected":"Kites are toys."}
{"prompt":"Who has the red hat? ","chosen":"Ben has it, Ann says.","rejected":"The hat is a red hat."}"#;
const PAIRS: &str = r#"{"anchor":"Where is the kite?","positive":"The kite is in the tree.","negative":"Ben has a red hat."}
{"anchor":"Who has the red hat?","positive":"Ben has a red hat on his head.","negative":"The kite is in the tree."}"#;

/// A file with examples, which is removed at the end.
pub struct ExampleFile(PathBuf);

impl ExampleFile {
    /// Writes examples of the first of `kinds` that has some; `None` if none has.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(kinds: &[ExampleKind]) -> Result<Option<Self>, CliError> {
        let Some(rows) = kinds.iter().find_map(|kind| example_rows(*kind)) else { return Ok(None) };
        let path = std::env::temp_dir().join(format!("kiln-example-{}.jsonl", std::process::id()));
        fs::write(&path, format!("{rows}\n")).map_err(|error| {
            CliError::failed("io", format!("cannot write {}: {error}", path.display()))
                .with_help("give data with --data PATH")
        })?;
        Ok(Some(Self(path)))
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ExampleFile {
    fn drop(&mut self) {
        // A file of a hundred bytes that stays in the temporary folder does no harm.
        let _ = fs::remove_file(&self.0);
    }
}

/// Rows of a kind; `None` for text, which has the built-in stories, and for labels.
fn example_rows(kind: ExampleKind) -> Option<&'static str> {
    match kind {
        ExampleKind::Chat => Some(CONVERSATIONS),
        ExampleKind::PromptCompletion => Some(COMPLETIONS),
        ExampleKind::Preference => Some(PREFERENCES),
        ExampleKind::Pair => Some(PAIRS),
        ExampleKind::Text | ExampleKind::Labeled => None,
    }
}
