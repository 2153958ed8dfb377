//! `tokenizer`: text into tokens and back.

use super::{
    output::Answer,
    table::{pairs, table},
    trouble::Trouble,
};
use kiln_train::pretrained::Place;
use kiln_data::{Specials, Tokenizer, tokenizer::folder};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What `tokenizer` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// The tokens of a text.
    Encode {
        /// A run, a folder with a config.json, a .gguf file, or a tokenizer.json.
        run: PathBuf,
        /// The text.
        #[arg(long, value_name = "TEXT")]
        text: String,
    },
    /// The text of tokens.
    Decode {
        /// A run, a folder with a config.json, a .gguf file, or a tokenizer.json.
        run: PathBuf,
        /// Token ids with commas between them.
        #[arg(long, value_name = "ID,ID,…", value_delimiter = ',', required = true)]
        ids: Vec<u32>,
    },
    /// What the tokenizer is.
    Inspect {
        /// A run, a folder with a config.json, a .gguf file, or a tokenizer.json.
        run: PathBuf,
    },
}

/// Does it.
pub fn run(command: &Command) -> Result<Answer, Trouble> {
    match command {
        Command::Encode { run, text } => Ok(encode(&open(run)?, text)),
        Command::Decode { run, ids } => {
            let text = open(run)?.decode(ids)?;
            Ok(Answer::new(json!({ "text": text }), text))
        }
        Command::Inspect { run } => Ok(inspect(&open(run)?)),
    }
}

/// The tokenizer of a model, or of a file of its own.
pub fn open(path: &Path) -> Result<Tokenizer, Trouble> {
    let alone = path.is_file() && path.extension().is_some_and(|ending| ending != "gguf");
    Ok(if alone { folder::open_file(path)? } else { Place::of(path)?.tokenizer()? })
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Answer {
    let found = tokenizer.encode_full(text);
    let offsets: Vec<[usize; 2]> = found.offsets.iter().map(|range| [range.start, range.end]).collect();
    let row = |i: usize| {
        vec![found.ids[i].to_string(), format!("{}..{}", offsets[i][0], offsets[i][1]), quoted(&found.tokens[i])]
    };
    let rows: Vec<Vec<String>> = (0..found.ids.len()).map(row).collect();
    let text = table(&["id", "bytes", "token"], &rows, &[0, 1]);
    Answer::new(json!({ "ids": found.ids, "offsets": offsets, "tokens": found.tokens }), text)
}

/// Spaces at the ends show.
fn quoted(token: &str) -> String {
    format!("|{token}|")
}

fn inspect(tokenizer: &Tokenizer) -> Answer {
    let (vocab, special) = (tokenizer.vocab(), Specials::count());
    let mut longest: Vec<u32> = (0..vocab as u32).filter(|id| !tokenizer.is_special(*id)).collect();
    longest.sort_by_key(|id| std::cmp::Reverse(tokenizer.bytes(*id).map_or(0, <[u8]>::len)));
    let longest: Vec<String> = longest.into_iter().take(8).map(|id| tokenizer.token(id)).collect();
    let text = pairs(&[
        ("tokens", vocab.to_string()),
        (
            "special",
            format!("{special}: {}", Specials::names().into_iter().take(5).collect::<Vec<_>>().join(", ") + ", …"),
        ),
        ("longest", longest.iter().map(|token| quoted(token)).collect::<Vec<_>>().join(" ")),
        ("sha-256", tokenizer.fingerprint()),
    ]);
    let json =
        json!({ "vocab": vocab, "special": Specials::names(), "longest": longest, "sha256": tokenizer.fingerprint() });
    Answer::new(json, text)
}
