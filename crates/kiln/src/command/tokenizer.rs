//! `tokenizer`: text into tokens and back.

use super::{
    output::{Answer, say},
    place::{place, tokenizer_on_hub},
    table::{pairs, table},
    trouble::Trouble,
};
use kiln_data::{
    Source, SourceConfig, Tokenizer, TokenizerConfig,
    config::FilesConfig,
    tokenizer::{Learned, Preparation, Roles, VocabConfig, folder, learn},
};
use kiln_spec::config::Nothing;
use kiln_train::{folder::write_atomic, pretrained::Place};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What `tokenizer` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Learns a tokenizer from text and saves it as a tokenizer.json.
    Train {
        /// Files and folders of text.
        #[arg(required = true)]
        data: Vec<PathBuf>,
        /// What a token is.
        #[arg(long, value_enum, default_value = "bpe")]
        kind: Kind,
        /// The most tokens.
        #[arg(long, value_name = "N", default_value_t = 1024)]
        vocab: usize,
        /// The file to write.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        /// The field of a .jsonl, or column of a .parquet, that holds the text.
        #[arg(long, default_value = "text")]
        field: String,
    },
    /// The tokens of a text, with the special tokens that the tokenizer adds.
    Encode {
        /// The folder of a run or of a model, or a tokenizer.json.
        model: PathBuf,
        /// The text.
        #[arg(long, value_name = "TEXT")]
        text: String,
        /// Leaves out the special tokens that the tokenizer adds.
        #[arg(long)]
        plain: bool,
    },
    /// The text of tokens.
    Decode {
        /// The folder of a run or of a model, or a tokenizer.json.
        model: PathBuf,
        /// Token ids with commas between them.
        #[arg(long, value_name = "ID,ID,…", value_delimiter = ',', required = true)]
        ids: Vec<u32>,
    },
    /// What the tokenizer is.
    Inspect {
        /// The folder of a run or of a model, or a tokenizer.json.
        model: PathBuf,
    },
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A frequent sequence of bytes.
    Bpe,
    /// A word, or a piece that goes on within one (BERT's).
    Wordpiece,
    /// The likeliest of many pieces (SentencePiece's).
    Unigram,
    /// One byte.
    Byte,
    /// One character.
    Character,
}

/// Does it.
pub fn run(command: &Command) -> Result<Answer, Trouble> {
    match command {
        Command::Train { data, kind, vocab, out, field } => train(data, field, *kind, *vocab, out),
        Command::Encode { model, text, plain } => encode(&open(model)?, text, *plain),
        Command::Decode { model, ids } => {
            let text = open(model)?.decode(ids)?;
            Ok(Answer::new(json!({ "text": text }), text))
        }
        Command::Inspect { model } => Ok(inspect(&open(model)?)),
    }
}

/// The tokenizer of a model, of a folder of its own, or in a file. Of a model on the hub nothing else is fetched.
pub fn open(model: &Path) -> Result<Tokenizer, Trouble> {
    if let Some(fetched) = tokenizer_on_hub(model)? {
        let carries = fetched.is_file();
        return Ok(if carries { Place::of(&fetched)?.tokenizer()? } else { folder::open(&fetched)? });
    }
    let gguf = model.extension().is_some_and(|ending| ending == "gguf");
    if model.is_file() && !gguf {
        return Ok(folder::open_file(model)?);
    }
    match place(model) {
        Ok(place) => Ok(place.tokenizer()?),
        Err(_) if model.is_dir() => Ok(folder::open(model)?),
        Err(error) => Err(error),
    }
}

fn train(data: &[PathBuf], field: &str, kind: Kind, vocab: usize, out: &Path) -> Result<Answer, Trouble> {
    let paths = data.iter().map(|path| path.display().to_string());
    let files = FilesConfig { field: field.into(), ..FilesConfig::new(paths) };
    let source: Box<dyn Source> = SourceConfig::Files(files).open()?;
    let texts = source.documents()?.map(|document| document.map(|document| document.text));
    let size = VocabConfig { vocab };
    let tokenizer = match kind {
        Kind::Bpe => Tokenizer::train(&TokenizerConfig::Bpe(size), texts)?,
        Kind::Character => Tokenizer::train(&TokenizerConfig::Character(size), texts)?,
        Kind::Byte => Tokenizer::train(&TokenizerConfig::Byte(Nothing {}), texts)?,
        Kind::Wordpiece => learn(Learned::WordPiece, vocab, texts)?,
        Kind::Unigram => learn(Learned::Unigram, vocab, texts)?,
    };
    write_atomic(out, tokenizer.to_json().as_bytes())?;
    let json = json!({ "file": out, "vocab": tokenizer.vocab(), "sha256": tokenizer.fingerprint() });
    Ok(Answer::new(json, format!("{} tokens in {}", tokenizer.vocab(), out.display())))
}

/// Says what a tokenizer leaves out of a text.
pub fn say_unspelt(tokenizer: &Tokenizer, text: &str) {
    let lost: Vec<String> = tokenizer.unspelt(text).iter().map(|byte| format!("0x{byte:02X}")).collect();
    if !lost.is_empty() {
        say(&format!("the tokenizer has no token for the bytes {}: it leaves them out", lost.join(" ")));
    }
}

fn encode(tokenizer: &Tokenizer, text: &str, plain: bool) -> Result<Answer, Trouble> {
    say_unspelt(tokenizer, text);
    let found = tokenizer.prepare(text, None, &Preparation { special: !plain, truncation: None })?;
    let offsets: Vec<[usize; 2]> = found.offsets.iter().map(|range| [range.start, range.end]).collect();
    let row = |i: usize| {
        vec![found.ids[i].to_string(), format!("{}..{}", offsets[i][0], offsets[i][1]), quoted(&found.tokens[i])]
    };
    let rows: Vec<Vec<String>> = (0..found.ids.len()).map(row).collect();
    let text = table(&["id", "bytes", "token"], &rows, &[0, 1]);
    Ok(Answer::new(json!({ "ids": found.ids, "offsets": offsets, "tokens": found.tokens }), text))
}

/// Spaces at the ends show.
fn quoted(token: &str) -> String {
    format!("|{token}|")
}

fn inspect(tokenizer: &Tokenizer) -> Answer {
    let vocab = tokenizer.vocab();
    let special: Vec<String> =
        (0..vocab as u32).filter(|id| tokenizer.is_special(*id)).map(|id| tokenizer.token(id)).collect();
    let mut longest: Vec<u32> = (0..vocab as u32).filter(|id| !tokenizer.is_special(*id)).collect();
    longest.sort_by_key(|id| std::cmp::Reverse(tokenizer.bytes(*id).map_or(0, <[u8]>::len)));
    let longest: Vec<String> = longest.into_iter().take(8).map(|id| tokenizer.token(id)).collect();
    let some = special.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if special.len() > 5 { ", …" } else { "" };
    let roles = tokenizer.roles();
    let text = pairs(&[
        ("tokens", vocab.to_string()),
        ("special", format!("{}: {some}{more}", special.len())),
        ("roles", named(tokenizer, &roles)),
        ("longest", longest.iter().map(|token| quoted(token)).collect::<Vec<_>>().join(" ")),
        ("sha-256", tokenizer.fingerprint()),
    ]);
    let Roles { bos, eos, pad, mask, unk, sep, cls } = roles;
    let roles = json!({ "bos": bos, "eos": eos, "pad": pad, "mask": mask, "unk": unk, "sep": sep, "cls": cls });
    let json = json!({
        "vocab": vocab, "special": special, "roles": roles, "longest": longest, "sha256": tokenizer.fingerprint(),
    });
    Answer::new(json, text)
}

/// Which token has which role.
fn named(tokenizer: &Tokenizer, roles: &Roles) -> String {
    let Roles { bos, eos, pad, mask, unk, sep, cls } = roles;
    let all = [("bos", bos), ("eos", eos), ("pad", pad), ("mask", mask), ("unk", unk), ("sep", sep), ("cls", cls)];
    let known = all.into_iter().filter_map(|(role, id)| Some(format!("{role} {}", tokenizer.token((*id)?))));
    known.collect::<Vec<_>>().join(", ")
}
