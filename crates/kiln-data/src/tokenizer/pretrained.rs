//! Tokenizers from files: a Hugging Face folder, or a single file.
//!
//! | file | contents | algorithm |
//! |---|---|---|
//! | `tokenizer.json` | the whole tokenizer | any |
//! | `tokenizer.model`, `spiece.model`, `sentencepiece.bpe.model`, `sentencepiece.model` | SentencePiece model | BPE or Unigram |
//! | `vocab.txt` | one token on each line (BERT) | WordPiece |
//! | `vocab.json`, `merges.txt` | ids and merges (GPT-2) | byte-level BPE |
//! | `tokenizer_config.json` | class of the tokenizer, settings, roles of tokens, added tokens | – |
//! | `special_tokens_map.json`, `added_tokens.json` | roles of tokens, added tokens (older folders) | – |
//! | `config.json` | the type of the model, which decides the class; ids of roles | – |
//!
//! A folder is read as `AutoTokenizer` of the `transformers` library reads it, so that texts get the same ids. The class
//! of the tokenizer (`class`) decides which parts of a `tokenizer.json` count, and which settings change them
//! (`sections`). Where files disagree, `settings` says which one counts.

mod added_token;
mod assemble;
mod class;
pub(super) mod clean_up;
mod contradictions;
mod post_processor;
mod sections;
mod sentencepiece_folder;
mod settings;
mod special;
#[cfg(all(test, feature = "files"))]
mod tests;
mod vocabulary;

use super::{Tokenizer, convert, roles};
use crate::{
    DataError,
    file_set::{FileSet, parse_json, read_json, read_text},
};
use assemble::{Assembled, VocabularyFile};
use class::{ChosenClass, ModelKind, TokenizerClass};
use serde_json::{Value, json};
use settings::Settings;
#[cfg(feature = "files")]
use std::path::Path;
use vocabulary::{Entries, Vocabulary};

/// Names of SentencePiece models, in the order in which they are tried.
const SENTENCEPIECE_FILES: [&str; 4] =
    ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model"];

/// The file with the settings of a tokenizer.
pub const CONFIG_FILE: &str = "tokenizer_config.json";

/// Loads the tokenizer of a folder: from `tokenizer.json`, else a SentencePiece model, else `vocab.txt`, else
/// `vocab.json` with `merges.txt`, with what the other files of the folder add and change.
///
/// The roles of its tokens are those that `tokenizer_config.json`, `special_tokens_map.json`, the class of the tokenizer
/// and `config.json` declare, in this order of precedence; roles that none of them mentions go to added tokens with
/// usual names. A warning (`log`) says what the tokenizer does not follow in its files.
///
/// # Errors
/// [`DataError::Tokenizer`] if the folder has none of these files or one is invalid; [`DataError::Io`] if a file cannot
/// be read.
#[cfg(feature = "files")]
pub fn from_folder(folder: &Path) -> Result<Tokenizer, DataError> {
    from_files(folder)
}

/// Loads the tokenizer of the files of a folder, on disk or in memory, as `from_folder` does.
///
/// # Errors
/// [`DataError::Tokenizer`] if there is no tokenizer or a file is invalid; [`DataError::Io`] if a file cannot be read.
pub fn from_files<F: FileSet + ?Sized>(files: &F) -> Result<Tokenizer, DataError> {
    load_files(files).map_err(|error| error.with_path(&files.folder()))
}

fn load_files<F: FileSet + ?Sized>(files: &F) -> Result<Tokenizer, DataError> {
    let text = read_text(files, "tokenizer.json")?;
    if let Some(text) = text.as_deref().filter(|text| super::TokenizerJson::is_kiln_trained(text)) {
        return Tokenizer::from_json(text);
    }
    let read = |name: &str| Ok::<_, DataError>(read_json(files, name)?.unwrap_or_default());
    let [config, tokens_map, added] = [CONFIG_FILE, "special_tokens_map.json", "added_tokens.json"].map(read);
    let [config, tokens_map, added] = [config?, tokens_map?, added?];
    let model_config = read("config.json")?;
    let file = text.as_deref().map(|text| parse_json(files, "tokenizer.json", text)).transpose()?;
    if file.as_ref().is_some_and(|file| !file["model"].is_object()) {
        let reason = "the file has no section `model`: it is not a tokenizer.json";
        return Err(DataError::tokenizer(reason).with_path(&files.location("tokenizer.json")));
    }
    let listed = file.as_ref().and_then(|file| file["added_tokens"].as_array()).cloned().unwrap_or_default();
    let settings = Settings::read(&config, &tokens_map, &added, &listed)?;
    let chosen = class::choose(&config, &model_config, text.as_deref());
    let (class, source) = match file {
        Some(file) => (chosen.class, VocabularyFile::TokenizerJson(file)),
        None => find_vocabulary(files, chosen.class)?,
    };
    let is_declared = class == chosen.class;
    let mut assembled = assemble::assemble(&ChosenClass { class, ..chosen.clone() }, is_declared, source, &settings)?;
    if !is_declared && chosen.class != TokenizerClass::Backend {
        assembled
            .notes
            .push(format!("the tokenizer class {} does not read the vocabulary of this folder", chosen.name));
    }
    if !config["auto_map"].is_null() {
        assembled.notes.push(format!("{CONFIG_FILE}: the code that `auto_map` names is not run"));
    }
    let folder = files.folder();
    assembled.notes.iter().for_each(|note| log::warn!("{}: tokenizer: {note}", folder.display()));
    finish(assembled, &listed, [&config, &tokens_map], &model_config, settings.number("model_max_length"))
}

/// Loads the tokenizer with the roles of its tokens. `listed` are the added tokens of the folder's `tokenizer.json`,
/// which have roles in a file of Kiln's; `configs` are the files that name the tokens of roles.
fn finish(
    assembled: Assembled,
    listed: &[Value],
    configs: [&Value; 2],
    model_config: &Value,
    model_max_length: Option<u64>,
) -> Result<Tokenizer, DataError> {
    let Assembled { mut file, roles: mut names, .. } = assembled;
    let is_mentioned = |role: &str| configs.iter().any(|config| config.get(format!("{role}_token")).is_some());
    let listed_roles = roles::listed_roles(listed);
    let has_listed_roles = !listed_roles.is_empty();
    let more = listed_roles.into_iter().filter(|(role, _)| !is_mentioned(role));
    let more = more.chain(roles::roles_from_ids(&file, model_config));
    for (role, name) in more {
        if names.iter().all(|(known, _)| *known != role) {
            names.push((role, name));
        }
    }
    if !has_listed_roles {
        names.extend(roles::default_roles(&file, is_mentioned, &names));
    }
    roles::write_roles(&mut file, &names);
    let tokenizer = Tokenizer::from_json(&file.to_string())?;
    // Files write a huge number for "no maximum".
    let max_length = model_max_length.filter(|length| *length < 1 << 40).map(|length| length as usize);
    Ok(tokenizer.with_model_max_length(max_length))
}

/// Loads a tokenizer from one file: a SentencePiece `.model`, a `vocab.txt` or another `.txt` of its form, or a
/// `tokenizer.json`. A file of exactly this name is loaded together with the other files of its folder
/// ([`from_folder`]).
///
/// # Errors
/// [`DataError::PathNotFound`], or those of [`from_folder`].
#[cfg(feature = "files")]
pub fn from_file(path: &Path) -> Result<Tokenizer, DataError> {
    load_file(path).map_err(|error| error.with_path(path))
}

#[cfg(feature = "files")]
fn load_file(path: &Path) -> Result<Tokenizer, DataError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let missing = || DataError::PathNotFound { path: path.display().to_string(), nearest: None };
    if path.extension().is_some_and(|extension| extension == "model") {
        let bytes = folder.read(&name)?.ok_or_else(missing)?;
        return convert::parse_sentencepiece(&bytes)?.to_tokenizer();
    }
    let text = read_text(folder, &name)?.ok_or_else(missing)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => Tokenizer::from_json(&convert::from_vocab_txt(&text, &Value::Null).to_string()),
        _ if name == "tokenizer.json" => from_folder(folder),
        _ => Tokenizer::from_json(&text),
    }
}

/// The vocabulary of a folder without a `tokenizer.json`, and the class that reads it: `class`, or the one that such
/// files usually have.
fn find_vocabulary<F: FileSet + ?Sized>(
    files: &F,
    class: TokenizerClass,
) -> Result<(TokenizerClass, VocabularyFile), DataError> {
    let is_sentencepiece = matches!(
        class,
        TokenizerClass::Backend | TokenizerClass::Llama | TokenizerClass::CodeLlama | TokenizerClass::Gemma
    ) || class.model_kind() == Some(ModelKind::Unigram);
    let vocab_txt = || find_vocab_txt(files, class);
    let vocab_json = || find_vocab_json(files, class);
    let sentencepiece = || find_sentencepiece(files, class);
    let found = match () {
        () if is_sentencepiece => sentencepiece()?.or(vocab_txt()?).or(vocab_json()?),
        () if class.model_kind() == Some(ModelKind::WordPiece) => vocab_txt()?.or(sentencepiece()?).or(vocab_json()?),
        () => vocab_json()?.or(sentencepiece()?).or(vocab_txt()?),
    };
    found.ok_or_else(|| {
        let names = SENTENCEPIECE_FILES.join(", ");
        let reason =
            format!("found no tokenizer.json, {names}, vocab.txt, or vocab.json with merges.txt in the folder");
        DataError::tokenizer(reason)
    })
}

type FoundVocabulary = Option<(TokenizerClass, VocabularyFile)>;

fn find_sentencepiece<F: FileSet + ?Sized>(files: &F, class: TokenizerClass) -> Result<FoundVocabulary, DataError> {
    let is_readable = |class: TokenizerClass| !matches!(class.model_kind(), Some(ModelKind::WordPiece));
    for name in SENTENCEPIECE_FILES {
        if let Some(bytes) = files.read(name)? {
            let model = convert::parse_sentencepiece(&bytes).and_then(|model| model.check().map(|()| model));
            let model = model.map_err(|error| error.with_path(&files.location(name)))?;
            let class = Some(class).filter(|class| is_readable(*class)).unwrap_or(TokenizerClass::Backend);
            return Ok(Some((class, VocabularyFile::SentencePiece(Box::new(model)))));
        }
    }
    Ok(None)
}

fn find_vocab_txt<F: FileSet + ?Sized>(files: &F, class: TokenizerClass) -> Result<FoundVocabulary, DataError> {
    let Some(text) = read_text(files, "vocab.txt")? else { return Ok(None) };
    let is_wordpiece = class.model_kind() == Some(ModelKind::WordPiece);
    let class = if is_wordpiece { class } else { TokenizerClass::Bert };
    let entries = Entries::WordPiece(convert::parse_vocab_txt(&text));
    Ok(Some((class, VocabularyFile::Other(Vocabulary { entries, charsmap: Vec::new() }))))
}

fn find_vocab_json<F: FileSet + ?Sized>(files: &F, class: TokenizerClass) -> Result<FoundVocabulary, DataError> {
    let (Some(vocab), Some(merges)) = (read_json(files, "vocab.json")?, read_text(files, "merges.txt")?) else {
        return Ok(None);
    };
    let Value::Object(vocab) = vocab else {
        let reason = "expected an object of tokens and their ids";
        return Err(DataError::tokenizer(reason).with_path(&files.location("vocab.json")));
    };
    let mut pairs = Vec::new();
    for merge in convert::parse_merges_txt(&merges) {
        let Some((left, right)) = merge.split_once(' ').filter(|(_, right)| !right.contains(' ')) else {
            let reason = format!("the merge {merge:?} is not two tokens separated by a space");
            return Err(DataError::tokenizer(reason).with_path(&files.location("merges.txt")));
        };
        pairs.push(json!([left, right]));
    }
    let class = if class.is_byte_level() == Some(true) { class } else { TokenizerClass::Gpt2 };
    let entries = Entries::Bpe(vocab, pairs);
    Ok(Some((class, VocabularyFile::Other(Vocabulary { entries, charsmap: Vec::new() }))))
}
