//! `kiln tokenizer`: train, inspect and use tokenizers.
//!
//! ```console
//! kiln tokenizer train texts/ --kind bpe --vocab-size 4096 -o tokenizer.json
//! kiln tokenizer encode runs/stories --text "Once upon a time"
//! kiln tokenizer decode runs/stories --ids 12,40,7
//! ```
//!
//! JSON: `train` gives `{"file","vocab","sha256"}`, `encode` gives `{"ids","offsets","tokens"}` with offsets in bytes, `decode`
//! gives `{"text"}`, `inspect` gives `{"vocab","special","roles","longest","sha256"}`.

use super::{
    error::CliError,
    model_args::{hub_tokenizer, model_source},
    out_path,
    output::{CommandOutput, print_message},
    table::{format_pairs, format_table},
};
use kiln_data::{
    Encoding, Source, SourceConfig, Tokenizer, TokenizerConfig,
    config::FilesConfig,
    tokenizer::{EncodeOptions, SubwordModel, TokenRoles, VocabConfig, pretrained, train_subword},
};
use kiln_spec::config::NoOptions;
use kiln_train::{pretrained::ModelSource, run_folder::write_atomic};
use serde_json::{Map, json};
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
        /// Replace an existing output file.
        #[arg(long)]
        force: bool,
        /// Field of JSON rows, or column of a CSV, TSV or Parquet file, that holds the text.
        #[arg(long, value_name = "NAME", default_value = "text")]
        field: String,
        /// Leave out rows without valid text instead of ending with an error. They are counted, and the first are shown.
        #[arg(long)]
        skip_bad_rows: bool,
    },
    /// Encode text as token ids.
    Encode {
        /// Run folder, model folder, Hugging Face id, .gguf file, or tokenizer.json.
        model: PathBuf,
        /// Text to encode.
        #[arg(long, value_name = "TEXT")]
        text: String,
        /// Do not add the special tokens of the tokenizer, such as the start token.
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
    /// One token per byte.
    Byte,
    /// One token per character.
    Character,
}

/// Runs a subcommand.
pub fn run(command: &Command) -> Result<CommandOutput, CliError> {
    match command {
        Command::Train { data, kind, vocab_size, out, force, field, skip_bad_rows } => {
            out_path::check_file(out, *force)?;
            let paths = data.iter().map(|path| path.display().to_string());
            let files = FilesConfig { field: field.clone(), skip_bad_rows: *skip_bad_rows, ..FilesConfig::new(paths) };
            train_tokenizer(files, *kind, *vocab_size, out)
        }
        Command::Encode { model, text, no_special_tokens } => {
            encode(&open_tokenizer(model)?, text, !*no_special_tokens)
        }
        Command::Decode { model, ids } => {
            let tokenizer = open_tokenizer(model)?;
            warn_unassigned(&tokenizer, ids);
            let text = tokenizer.decode(ids)?;
            Ok(CommandOutput::new(json!({ "text": text }), text))
        }
        Command::Inspect { model } => Ok(inspect(&open_tokenizer(model)?)),
    }
}

/// The tokenizer of a model, of a folder with tokenizer files only, or of a tokenizer.json. From the hub, only the
/// tokenizer files are downloaded.
pub fn open_tokenizer(model: &Path) -> Result<Tokenizer, CliError> {
    if let Some(checkpoint) = ModelSource::run_checkpoint(model)? {
        return Ok(checkpoint.tokenizer()?);
    }
    if let Some(path) = hub_tokenizer(model)? {
        // A file is a .gguf, which holds its tokenizer.
        return if path.is_file() {
            Ok(ModelSource::open(&path)?.tokenizer()?)
        } else {
            Ok(pretrained::from_folder(&path)?)
        };
    }
    let is_gguf = model.extension().is_some_and(|extension| extension == "gguf");
    if model.is_file() && !is_gguf {
        return Ok(pretrained::from_file(model)?);
    }
    match model_source(model) {
        Ok(source) => Ok(source.tokenizer()?),
        Err(_) if model.is_dir() => Ok(pretrained::from_folder(model)?),
        Err(error) => Err(error),
    }
}

/// Trains a tokenizer on files and writes it to `out`.
///
/// Reads the whole text.
fn train_tokenizer(
    files: FilesConfig,
    kind: TokenizerKind,
    vocab_size: usize,
    out: &Path,
) -> Result<CommandOutput, CliError> {
    let source: Box<dyn Source> = SourceConfig::Files(files).open()?;
    source.check(&|| false)?;
    let texts = source.documents()?.map(|document| document.map(|document| document.text));
    let size = VocabConfig { vocab: vocab_size };
    let tokenizer = match kind {
        TokenizerKind::Bpe => Tokenizer::train(&TokenizerConfig::Bpe(size), texts)?,
        TokenizerKind::Character => Tokenizer::train(&TokenizerConfig::Character(size), texts)?,
        TokenizerKind::Byte => Tokenizer::train(&TokenizerConfig::Byte(NoOptions {}), texts)?,
        TokenizerKind::Wordpiece => train_subword(SubwordModel::WordPiece, vocab_size, texts)?,
        TokenizerKind::Unigram => train_subword(SubwordModel::Unigram, vocab_size, texts)?,
    };
    source.report().messages().iter().for_each(|message| print_message(message));
    write_atomic(out, tokenizer.to_json().as_bytes())?;
    let json = json!({ "file": out, "vocab": tokenizer.vocab_size(), "sha256": tokenizer.fingerprint() });
    Ok(CommandOutput::new(json, format!("{}: vocabulary size {}", out.display(), tokenizer.vocab_size())))
}

/// Warns about bytes of a text that the tokenizer cannot encode.
///
/// This concerns character and word-piece tokenizers; byte-level ones encode every text.
pub fn warn_unencodable(tokenizer: &Tokenizer, text: &str) {
    let bytes: Vec<String> = tokenizer.unencodable(text).iter().map(|byte| format!("0x{byte:02X}")).collect();
    if !bytes.is_empty() {
        print_message(&format!(
            "warning: the tokenizer has no token for the bytes {}; they are left out",
            bytes.join(" ")
        ));
    }
}

/// Warns about ids without a token, which decode to nothing.
fn warn_unassigned(tokenizer: &Tokenizer, ids: &[u32]) {
    let mut unassigned: Vec<u32> = ids.iter().copied().filter(|id| !tokenizer.has_token(*id)).collect();
    unassigned.sort_unstable();
    unassigned.dedup();
    if !unassigned.is_empty() {
        let listed: Vec<String> = unassigned.iter().map(u32::to_string).collect();
        print_message(&format!("warning: no token has the ids {}; they decode to nothing", listed.join(", ")));
    }
}

/// A table of id, byte range and token. Tokens that were added (such as bos) have an empty range.
fn encode(tokenizer: &Tokenizer, text: &str, add_special_tokens: bool) -> Result<CommandOutput, CliError> {
    warn_unencodable(tokenizer, text);
    let options = EncodeOptions { add_special_tokens, truncation: None };
    let Encoding { ids, offsets, tokens, .. } = tokenizer.encode_for_model(text, None, &options)?;
    let mut rows = Vec::new();
    for ((id, range), token) in ids.iter().zip(&offsets).zip(&tokens) {
        rows.push(vec![id.to_string(), format!("{}..{}", range.start, range.end), quote_token(token)]);
    }
    let table = format_table(&["id", "bytes", "token"], &rows, &[0, 1]);
    let offsets: Vec<[usize; 2]> = offsets.iter().map(|range| [range.start, range.end]).collect();
    Ok(CommandOutput::new(json!({ "ids": ids, "offsets": offsets, "tokens": tokens }), table))
}

/// A token between bars, so that spaces at its ends are visible.
pub fn quote_token(token: &str) -> String {
    format!("|{token}|")
}

/// Number of special tokens that are printed.
const SHOWN_SPECIAL_TOKENS: usize = 5;
/// Number of longest tokens that are printed.
const SHOWN_LONGEST_TOKENS: usize = 8;

/// The vocabulary size counts special tokens too. The longest tokens are those with the most bytes.
fn inspect(tokenizer: &Tokenizer) -> CommandOutput {
    let vocab_size = tokenizer.vocab_size();
    let (special, mut other): (Vec<u32>, Vec<u32>) = (0..vocab_size as u32).partition(|id| tokenizer.is_special(*id));
    let special: Vec<String> = special.into_iter().map(|id| tokenizer.id_to_token(id)).collect();
    other.sort_by_key(|id| std::cmp::Reverse(tokenizer.token_bytes(*id).len()));
    let longest = other.into_iter().take(SHOWN_LONGEST_TOKENS);
    let longest: Vec<String> = longest.map(|id| tokenizer.id_to_token(id)).collect();
    let roles = role_ids(tokenizer);
    let text = format_pairs(&[
        ("vocabulary size", vocab_size.to_string()),
        ("special tokens", format_special(&special)),
        ("roles", format_roles(tokenizer, &roles)),
        ("longest tokens", longest.iter().map(|token| quote_token(token)).collect::<Vec<_>>().join(" ")),
        ("sha-256", tokenizer.fingerprint()),
    ]);
    let json = json!({
        "vocab": vocab_size,
        "special": special,
        "roles": roles.into_iter().map(|(role, id)| (role.to_string(), id.into())).collect::<Map<_, _>>(),
        "longest": longest,
        "sha256": tokenizer.fingerprint(),
    });
    CommandOutput::new(json, text)
}

/// `7: <bos>, <eos>, <pad>, <mask>, <unk>, …`.
fn format_special(special: &[String]) -> String {
    let shown = special.iter().take(SHOWN_SPECIAL_TOKENS).cloned().collect::<Vec<_>>().join(", ");
    let more = if special.len() > SHOWN_SPECIAL_TOKENS { ", …" } else { "" };
    format!("{}: {shown}{more}", special.len())
}

/// Name and token id of each role.
fn role_ids(tokenizer: &Tokenizer) -> [(&'static str, Option<u32>); 7] {
    let TokenRoles { bos, eos, pad, mask, unk, sep, cls } = tokenizer.token_roles();
    [("bos", bos), ("eos", eos), ("pad", pad), ("mask", mask), ("unk", unk), ("sep", sep), ("cls", cls)]
}

/// `bos <s>, eos </s>`: the roles that the tokenizer has.
fn format_roles(tokenizer: &Tokenizer, roles: &[(&str, Option<u32>)]) -> String {
    let present = roles.iter().filter_map(|(role, id)| Some(format!("{role} {}", tokenizer.id_to_token((*id)?))));
    present.collect::<Vec<_>>().join(", ")
}
