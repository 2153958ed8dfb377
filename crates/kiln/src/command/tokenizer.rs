//! `tokenizer`: text into tokens and back.

use super::{
    error::CliError,
    model_args::{hub_tokenizer, model_source},
    output::{CommandOutput, print_message},
    table::{format_pairs, format_table},
};
use kiln_data::{
    Source, SourceConfig, Tokenizer, TokenizerConfig,
    config::FilesConfig,
    tokenizer::{EncodeOptions, SubwordModel, TokenRoles, VocabConfig, pretrained, train_subword},
};
use kiln_spec::config::NoOptions;
use kiln_train::{pretrained::ModelSource, run_folder::write_atomic};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Subcommands of `tokenizer`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Train a tokenizer and save it as tokenizer.json.
    Train {
        /// Text files and folders.
        #[arg(required = true)]
        data: Vec<PathBuf>,
        /// Tokenizer type.
        #[arg(long, value_enum, default_value = "bpe")]
        kind: TokenizerKind,
        /// Maximum vocabulary size.
        #[arg(long, alias = "vocab", value_name = "N", default_value_t = 1024)]
        vocab_size: usize,
        /// Output file.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        /// Field of a .jsonl file, or column of a .parquet file, that holds the text.
        #[arg(long, value_name = "NAME", default_value = "text")]
        field: String,
    },
    /// Encode text as token ids.
    Encode {
        /// Run folder, model folder, Hugging Face id, .gguf file, or tokenizer.json.
        model: PathBuf,
        /// Text to encode.
        #[arg(long, value_name = "TEXT")]
        text: String,
        /// Do not add special tokens.
        #[arg(long, alias = "plain")]
        no_special_tokens: bool,
    },
    /// Decode token ids into text.
    Decode {
        /// Run folder, model folder, Hugging Face id, .gguf file, or tokenizer.json.
        model: PathBuf,
        /// Token ids, separated by commas.
        #[arg(long, value_name = "ID,ID,…", value_delimiter = ',', required = true)]
        ids: Vec<u32>,
    },
    /// Show the type, size and special tokens of a tokenizer.
    Inspect {
        /// Run folder, model folder, Hugging Face id, .gguf file, or tokenizer.json.
        model: PathBuf,
    },
}

/// Tokenizer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenizerKind {
    /// Byte-level byte-pair encoding (BPE).
    Bpe,
    /// WordPiece (BERT).
    Wordpiece,
    /// Unigram (SentencePiece).
    Unigram,
    /// Bytes.
    Byte,
    /// Characters.
    Character,
}

/// Does it.
pub fn run(command: &Command) -> Result<CommandOutput, CliError> {
    match command {
        Command::Train { data, kind, vocab_size, out, field } => train_tokenizer(data, field, *kind, *vocab_size, out),
        Command::Encode { model, text, no_special_tokens } => {
            encode(&open_tokenizer(model)?, text, !*no_special_tokens)
        }
        Command::Decode { model, ids } => {
            let text = open_tokenizer(model)?.decode(ids)?;
            Ok(CommandOutput::new(json!({ "text": text }), text))
        }
        Command::Inspect { model } => Ok(inspect(&open_tokenizer(model)?)),
    }
}

/// The tokenizer of a model, of a folder of its own, or in a file. Of a model on the hub nothing else is fetched.
pub fn open_tokenizer(model: &Path) -> Result<Tokenizer, CliError> {
    if let Some(fetched) = hub_tokenizer(model)? {
        let carries = fetched.is_file();
        return Ok(if carries {
            ModelSource::open(&fetched)?.tokenizer()?
        } else {
            pretrained::from_folder(&fetched)?
        });
    }
    let gguf = model.extension().is_some_and(|ending| ending == "gguf");
    if model.is_file() && !gguf {
        return Ok(pretrained::from_file(model)?);
    }
    match model_source(model) {
        Ok(place) => Ok(place.tokenizer()?),
        Err(_) if model.is_dir() => Ok(pretrained::from_folder(model)?),
        Err(error) => Err(error),
    }
}

fn train_tokenizer(
    data: &[PathBuf],
    field: &str,
    kind: TokenizerKind,
    vocab: usize,
    out: &Path,
) -> Result<CommandOutput, CliError> {
    let paths = data.iter().map(|path| path.display().to_string());
    let files = FilesConfig { field: field.into(), ..FilesConfig::new(paths) };
    let source: Box<dyn Source> = SourceConfig::Files(files).open()?;
    let texts = source.documents()?.map(|document| document.map(|document| document.text));
    let size = VocabConfig { vocab };
    let tokenizer = match kind {
        TokenizerKind::Bpe => Tokenizer::train(&TokenizerConfig::Bpe(size), texts)?,
        TokenizerKind::Character => Tokenizer::train(&TokenizerConfig::Character(size), texts)?,
        TokenizerKind::Byte => Tokenizer::train(&TokenizerConfig::Byte(NoOptions {}), texts)?,
        TokenizerKind::Wordpiece => train_subword(SubwordModel::WordPiece, vocab, texts)?,
        TokenizerKind::Unigram => train_subword(SubwordModel::Unigram, vocab, texts)?,
    };
    write_atomic(out, tokenizer.to_json().as_bytes())?;
    let json = json!({ "file": out, "vocab": tokenizer.vocab_size(), "sha256": tokenizer.fingerprint() });
    Ok(CommandOutput::new(json, format!("{} tokens in {}", tokenizer.vocab_size(), out.display())))
}

/// Says what a tokenizer leaves out of a text.
pub fn warn_unencodable(tokenizer: &Tokenizer, text: &str) {
    let lost: Vec<String> = tokenizer.unencodable(text).iter().map(|byte| format!("0x{byte:02X}")).collect();
    if !lost.is_empty() {
        print_message(&format!("the tokenizer has no token for the bytes {}: it leaves them out", lost.join(" ")));
    }
}

fn encode(tokenizer: &Tokenizer, text: &str, add_special_tokens: bool) -> Result<CommandOutput, CliError> {
    warn_unencodable(tokenizer, text);
    let found = tokenizer.encode_for_model(text, None, &EncodeOptions { add_special_tokens, truncation: None })?;
    let offsets: Vec<[usize; 2]> = found.offsets.iter().map(|range| [range.start, range.end]).collect();
    let row = |i: usize| {
        vec![found.ids[i].to_string(), format!("{}..{}", offsets[i][0], offsets[i][1]), quote_token(&found.tokens[i])]
    };
    let rows: Vec<Vec<String>> = (0..found.ids.len()).map(row).collect();
    let text = format_table(&["id", "bytes", "token"], &rows, &[0, 1]);
    Ok(CommandOutput::new(json!({ "ids": found.ids, "offsets": offsets, "tokens": found.tokens }), text))
}

/// Spaces at the ends show.
fn quote_token(token: &str) -> String {
    format!("|{token}|")
}

fn inspect(tokenizer: &Tokenizer) -> CommandOutput {
    let vocab = tokenizer.vocab_size();
    let special: Vec<String> =
        (0..vocab as u32).filter(|id| tokenizer.is_special(*id)).map(|id| tokenizer.id_to_token(id)).collect();
    let mut longest: Vec<u32> = (0..vocab as u32).filter(|id| !tokenizer.is_special(*id)).collect();
    longest.sort_by_key(|id| std::cmp::Reverse(tokenizer.token_bytes(*id).map_or(0, <[u8]>::len)));
    let longest: Vec<String> = longest.into_iter().take(8).map(|id| tokenizer.id_to_token(id)).collect();
    let some = special.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if special.len() > 5 { ", …" } else { "" };
    let roles = tokenizer.token_roles();
    let text = format_pairs(&[
        ("tokens", vocab.to_string()),
        ("special", format!("{}: {some}{more}", special.len())),
        ("roles", format_roles(tokenizer, &roles)),
        ("longest", longest.iter().map(|token| quote_token(token)).collect::<Vec<_>>().join(" ")),
        ("sha-256", tokenizer.fingerprint()),
    ]);
    let TokenRoles { bos, eos, pad, mask, unk, sep, cls } = roles;
    let roles = json!({ "bos": bos, "eos": eos, "pad": pad, "mask": mask, "unk": unk, "sep": sep, "cls": cls });
    let json = json!({
        "vocab": vocab, "special": special, "roles": roles, "longest": longest, "sha256": tokenizer.fingerprint(),
    });
    CommandOutput::new(json, text)
}

/// Which token has which role.
fn format_roles(tokenizer: &Tokenizer, roles: &TokenRoles) -> String {
    let TokenRoles { bos, eos, pad, mask, unk, sep, cls } = roles;
    let all = [("bos", bos), ("eos", eos), ("pad", pad), ("mask", mask), ("unk", unk), ("sep", sep), ("cls", cls)];
    let known = all.into_iter().filter_map(|(role, id)| Some(format!("{role} {}", tokenizer.id_to_token((*id)?))));
    known.collect::<Vec<_>>().join(", ")
}
