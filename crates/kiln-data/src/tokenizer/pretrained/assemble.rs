//! A folder's `tokenizer.json` as the reference builds it: the sections of the class, the added tokens, the
//! post-processor.

use super::{
    added_token::{AddedToken, AddedVocabulary, NamedToken},
    class::{ChosenClass, ModelKind, TokenizerClass},
    clean_up, contradictions,
    post_processor::{self, RoleTokens},
    sections, sentencepiece_folder,
    settings::Settings,
    special::Named,
    vocabulary::Vocabulary,
};
use crate::{
    DataError,
    tokenizer::{GgufTokenizer, hf::has_part_type},
};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Where tokens and merges come from.
pub(super) enum VocabularyFile {
    TokenizerJson(Value),
    SentencePiece(Box<GgufTokenizer>),
    Other(Vocabulary),
}

impl VocabularyFile {
    fn sentencepiece(&self) -> Option<&GgufTokenizer> {
        if let Self::SentencePiece(model) = self { Some(model) } else { None }
    }
}

/// A `tokenizer.json`, the tokens of its roles, and what to tell about files that are not followed.
pub(super) struct Assembled {
    pub file: Value,
    /// Pairs of role and token name; a role that a file sets to null is in none.
    pub roles: Vec<(&'static str, String)>,
    pub notes: Vec<String>,
}

/// Builds the `tokenizer.json` of a folder.
///
/// `is_declared`: whether files name the class. If Kiln guesses it from the names of the files, default special tokens
/// count only if the vocabulary has them.
///
/// # Errors
/// [`DataError::Tokenizer`] for invalid files.
pub(super) fn assemble(
    chosen: &ChosenClass,
    is_declared: bool,
    source: VocabularyFile,
    settings: &Settings,
) -> Result<Assembled, DataError> {
    let mut notes = Vec::new();
    let class = usable_class(chosen, &source, &mut notes);
    let named = Named::read(class, settings, source.sentencepiece())?;
    let listed_processor = match &source {
        VocabularyFile::TokenizerJson(file) => Some(file["post_processor"].clone()),
        _ => None,
    };
    // These are matched before SentencePiece's space in front, so that each part between them gets its own.
    let is_raw = class == TokenizerClass::Backend
        && source.sentencepiece().is_some_and(|model| model.add_space_prefix != Some(false));
    let (mut file, listed_tokens) = build_sections(class, source, settings, &named)?;
    let vocabulary = vocabulary_ids(&file["model"]);
    let named = if is_declared { named } else { named.without_missing_defaults(settings, &vocabulary)? };
    let mut added = AddedVocabulary::new(&vocabulary);
    added.add(listed_tokens);
    add_declared(&mut added, class, settings, &named, is_raw);
    note_moved_ids(settings, &added, &mut notes);
    let mut tokens = RoleTokens::new();
    for (role, token) in &named.roles {
        let id = added.id(token.content());
        tokens.extend(id.map(|id| (*role, (token.content().to_string(), id))));
    }
    file["post_processor"] = post_processor::build(class, settings, listed_processor.as_ref(), &tokens);
    if listed_processor.is_some() {
        notes.extend(contradictions::notes(&file, class, settings));
    }
    file["added_tokens"] = added.to_json();
    let is_forced = settings.flag("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output");
    let cleans_up = is_forced == Some(true) || ModelKind::of(&file["model"]) != ModelKind::Bpe;
    if cleans_up
        && settings.flag("clean_up_tokenization_spaces") == Some(true)
        && !clean_up::is_at_end_of(&file["decoder"])
    {
        clean_up::add_to_decoder(&mut file);
    }
    if settings.flag("split_special_tokens") == Some(true) {
        notes.push("tokenizer_config.json: `split_special_tokens` is not supported; names of special tokens in a text are special tokens".into());
    }
    let roles = tokens.into_iter().map(|(role, (name, _))| (role, name)).collect();
    Ok(Assembled { file, roles, notes })
}

/// The class, or [`TokenizerClass::Backend`] if its rules are unknown or its algorithm is not that of the vocabulary.
fn usable_class(chosen: &ChosenClass, source: &VocabularyFile, notes: &mut Vec<String>) -> TokenizerClass {
    if chosen.is_unknown {
        notes.push(format!(
            "the rules of the tokenizer class {} are unknown; the tokenizer follows its files alone",
            chosen.name
        ));
    }
    let (found, file) = match source {
        VocabularyFile::TokenizerJson(file) => (ModelKind::of(&file["model"]), "tokenizer.json"),
        VocabularyFile::SentencePiece(model) if model.model == "llama" => (ModelKind::Bpe, "the SentencePiece model"),
        VocabularyFile::SentencePiece(_) => (ModelKind::Unigram, "the SentencePiece model"),
        VocabularyFile::Other(_) => return chosen.class,
    };
    let expected = chosen.class.model_kind().unwrap_or(found);
    let mut differs = (expected != found).then(|| [expected.name(), found.name()]);
    if let (VocabularyFile::TokenizerJson(file), Some(expected), None) = (source, chosen.class.is_byte_level(), differs)
    {
        let is_byte_level = ["pre_tokenizer", "decoder"].iter().any(|part| has_part_type(&file[*part], "ByteLevel"));
        let alphabet = |is_byte_level| if is_byte_level { "BPE of bytes" } else { "BPE of characters" };
        differs = (expected != is_byte_level).then(|| [alphabet(expected), alphabet(is_byte_level)]);
    }
    let Some([expected, found]) = differs else { return chosen.class };
    notes.push(format!(
        "the tokenizer class {} expects {expected}, but {file} is {found}; {file} is used as it is",
        chosen.name
    ));
    TokenizerClass::Backend
}

/// The file without added tokens, and the tokens that were added to it.
fn build_sections(
    class: TokenizerClass,
    source: VocabularyFile,
    settings: &Settings,
    named: &Named,
) -> Result<(Value, Vec<AddedToken>), DataError> {
    let unknown = named.role("unk").map(NamedToken::content);
    let vocabulary = match (source, class.model_kind()) {
        (VocabularyFile::TokenizerJson(file), None) => {
            let listed =
                file["added_tokens"].as_array().into_iter().flatten().filter_map(AddedToken::from_json).collect();
            return Ok((file, listed));
        }
        (VocabularyFile::SentencePiece(model), None) => {
            return Ok((sentencepiece_folder::build(&model, settings)?, Vec::new()));
        }
        (VocabularyFile::TokenizerJson(mut file), Some(kind)) => Vocabulary::from_tokenizer_json(&mut file, kind)?,
        (VocabularyFile::SentencePiece(model), Some(_)) => Vocabulary::from_sentencepiece(&model, class, settings)?,
        (VocabularyFile::Other(vocabulary), _) => vocabulary,
    };
    Ok((sections::build(class, vocabulary, settings, unknown), Vec::new()))
}

/// Ids of the tokens of a section `model`.
fn vocabulary_ids(model: &Value) -> HashMap<String, u32> {
    match &model["vocab"] {
        Value::Object(vocab) => {
            let ids = vocab.iter().filter_map(|(token, id)| Some((token.clone(), u32::try_from(id.as_u64()?).ok()?)));
            ids.collect()
        }
        pieces => {
            let pieces = pieces.as_array().into_iter().flatten().zip(0u32..);
            pieces.filter_map(|(piece, id)| Some((piece[0].as_str()?.to_string(), id))).collect()
        }
    }
}

/// Adds the tokens that files list, then the special tokens that are not among them.
fn add_declared(added: &mut AddedVocabulary, class: TokenizerClass, settings: &Settings, named: &Named, is_raw: bool) {
    let listed = settings.added.values().cloned().map(|token| match is_raw {
        true => AddedToken { normalized: false, ..token },
        false => token,
    });
    let listed = listed.filter(|token| !added.has(token));
    let mut new: Vec<NamedToken> = listed.map(NamedToken::Settings).collect();
    let mut known = added.names();
    known.extend(new.iter().map(|token| token.content().to_string()));
    let mut seen = HashSet::new();
    for token in named.with_role().chain(&named.extra) {
        if !known.contains(token.content()) && seen.insert(token) {
            new.push(token.clone());
        }
    }
    let with_role: HashSet<&str> = named.with_role().map(NamedToken::content).collect();
    let tokens = new.into_iter().map(|token| {
        let has_role = with_role.contains(token.content());
        token.into_token(has_role)
    });
    added.add(tokens);
    if class == TokenizerClass::Qwen2 {
        // This class adds its special tokens again, without their settings.
        let special = named.roles.iter().map(|(_, token)| token).chain(&named.extra);
        added.add(special.map(|token| AddedToken::new_special(token.content())));
    }
}

/// Notes the tokens whose ids in the files are not the ids that they get.
fn note_moved_ids(settings: &Settings, added: &AddedVocabulary, notes: &mut Vec<String>) {
    let mut moved = Vec::new();
    for (declared, token) in &settings.added {
        match added.id(&token.content) {
            Some(id) if u64::from(id) != *declared => {
                moved.push(format!("{:?} {id} (declared: {declared})", token.content))
            }
            _ => {}
        }
    }
    if !moved.is_empty() {
        let more =
            if moved.len() > MAX_LISTED { format!(" and {} more", moved.len() - MAX_LISTED) } else { String::new() };
        moved.truncate(MAX_LISTED);
        notes.push(format!(
            "added tokens get the ids of the vocabulary, or the next ones without gaps: {}{more}",
            moved.join(", ")
        ));
    }
}

/// Number of tokens that a note lists.
const MAX_LISTED: usize = 3;
