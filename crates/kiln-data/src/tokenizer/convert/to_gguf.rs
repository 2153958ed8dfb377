//! GGUF metadata of a tokenizer: the inverse of [`GgufTokenizer::to_tokenizer`].
//!
//! GGUF cannot describe every `tokenizer.json`, and readers derive what it leaves out. Each conversion is therefore
//! converted back and compared with the original on probe texts and on every token; if an id differs, the tokenizer is
//! rejected.

use super::{
    GgufTokenizer, METASPACE, byte_level,
    gguf::token_type::{BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED},
    list_parts, sentencepiece, sequence, wordpiece,
};
use crate::{
    DataError,
    tokenizer::{
        EncodeOptions, Tokenizer,
        byte_encoding::from_byte_fallback,
        hf::{has_part_type, part_types},
    },
};
use serde_json::{Value, json};

impl GgufTokenizer {
    /// GGUF metadata that gives the same ids as `tokenizer`. A warning (`log`) says so where a SentencePiece model's
    /// space in front has other rules. Two things are lost: spaces that a special token removes
    /// around itself (`lstrip`, `rstrip`), and the template of pairs of texts.
    ///
    /// # Errors
    /// [`DataError::UnsupportedByGguf`] with the key that GGUF cannot describe, or a text whose ids would differ.
    pub fn from_tokenizer(tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let file: Value = serde_json::from_str(tokenizer.to_json()).map_err(DataError::tokenizer)?;
        let model = &file["model"];
        let is_byte_level = ["pre_tokenizer", "decoder"].iter().any(|part| has_part_type(&file[*part], "ByteLevel"));
        let base = detect_added_tokens(tokenizer, model, collect_tokens(tokenizer, &file));
        // Files of older versions have no `model.type`.
        let candidates = if model["vocab"].is_array() {
            sentencepiece::unigram_candidates(&file, base)?
        } else if model["merges"].is_array() && is_byte_level {
            vec![byte_level::to_gguf(&file, base)?]
        } else if model["merges"].is_array() {
            sentencepiece::bpe_candidates(&file, base)?
        } else if is_wordpiece(model) {
            vec![wordpiece::to_gguf(&file, base)?]
        } else {
            return Err(unsupported("`model` is neither BPE, nor WordPiece, nor Unigram"));
        };
        let mut difference = None;
        for candidate in &candidates {
            match first_difference(tokenizer, &candidate.to_tokenizer()?) {
                None => return Ok(candidate.clone()),
                Some(text) => difference = difference.or(Some(text)),
            }
        }
        let text = difference.unwrap_or_default();
        let Some(form) = sentencepiece_form(file)? else {
            return Err(unsupported(format!("a tokenizer read from the file would give other ids for {text:?}")));
        };
        for candidate in candidates {
            if first_difference(&form, &candidate.to_tokenizer()?).is_none() {
                log::warn!(
                    "readers of a GGUF file put a space in front of every text and behind special tokens, also where \
                     this tokenizer does not: {text:?} has other tokens there"
                );
                return Ok(candidate);
            }
        }
        Err(unsupported(format!("a tokenizer read from the file would give other ids for {text:?}")))
    }

    /// The metadata with `vocab_size` tokens: a model may have more embedding rows than its tokenizer has tokens. The
    /// additional ids are unused tokens `[PAD123]`. A vocabulary that is larger stays unchanged.
    pub fn with_vocab_size(mut self, vocab_size: usize) -> Self {
        for id in self.tokens.len()..vocab_size {
            self.tokens.push(unused_token(id));
        }
        self.token_types.resize(self.tokens.len(), UNUSED);
        if !self.scores.is_empty() {
            self.scores.resize(self.tokens.len(), 0.0);
        }
        self
    }
}

/// The tokenizer with SentencePiece's own space in front: behind every special token, and also where the text begins
/// with a space. A `Metaspace` pre-tokenizer has other rules, which GGUF cannot tell. `None` for files without one.
fn sentencepiece_form(mut file: Value) -> Result<Option<Tokenizer>, DataError> {
    let pre_tokenizer = &file["pre_tokenizer"];
    let is_metaspace = pre_tokenizer["type"] == "Metaspace" && pre_tokenizer["split"] == false;
    if !is_metaspace || pre_tokenizer["prepend_scheme"] == "never" || !file["model"]["merges"].is_array() {
        return Ok(None);
    }
    let mut normalizers = list_parts(&file["normalizer"], "normalizers");
    normalizers.push(json!({ "type": "Prepend", "prepend": METASPACE }));
    normalizers.push(json!({ "type": "Replace", "pattern": { "String": " " }, "content": METASPACE }));
    file["normalizer"] = sequence("normalizers", normalizers);
    file["pre_tokenizer"] = Value::Null;
    Ok(Some(Tokenizer::from_json(&file.to_string())?))
}

/// Name of an unused id.
fn unused_token(id: usize) -> String {
    format!("[PAD{id}]")
}

/// Whether a model without merges is WordPiece.
fn is_wordpiece(model: &Value) -> bool {
    model["max_input_chars_per_word"].is_u64()
}

/// Names and types of the tokens by id, and the roles.
fn collect_tokens(tokenizer: &Tokenizer, file: &Value) -> GgufTokenizer {
    let model = &file["model"];
    let num_tokens = tokenizer.vocab_size();
    let mut gguf = GgufTokenizer {
        tokens: (0..num_tokens).map(unused_token).collect(),
        token_types: vec![UNUSED; num_tokens],
        roles: tokenizer.token_roles(),
        ..GgufTokenizer::default()
    };
    match &model["vocab"] {
        Value::Array(pieces) => {
            for (piece, id) in pieces.iter().zip(0..) {
                let token = piece[0].as_str().unwrap_or_default();
                set_token(&mut gguf, id, token, type_in_model(model, id, token));
            }
        }
        vocab => {
            for (token, id) in vocab.as_object().into_iter().flatten() {
                let id = id.as_u64().unwrap_or(u64::MAX);
                set_token(&mut gguf, id, token, type_in_model(model, id, token));
            }
        }
    }
    for added in file["added_tokens"].as_array().into_iter().flatten() {
        let token = added["content"].as_str().unwrap_or_default();
        let id = added["id"].as_u64().unwrap_or(u64::MAX);
        if !is_unknown_token(model, id, token) {
            set_token(&mut gguf, id, token, if added["special"] == true { CONTROL } else { USER_DEFINED });
        }
    }
    gguf
}

/// Sets name and type of a token, if its id is in range.
fn set_token(gguf: &mut GgufTokenizer, id: u64, token: &str, token_type: i32) {
    let Some(id) = usize::try_from(id).ok().filter(|id| *id < gguf.tokens.len()) else { return };
    gguf.tokens[id] = token.into();
    gguf.token_types[id] = token_type;
}

/// Type of a token of `model.vocab`. SentencePiece has a type for the unknown token; to others it is a control token.
fn type_in_model(model: &Value, id: u64, token: &str) -> i32 {
    let is_sentencepiece = model["vocab"].is_array() || model["byte_fallback"] == true;
    if is_unknown_token(model, id, token) {
        return if is_sentencepiece { UNKNOWN } else { CONTROL };
    }
    let is_byte = model["byte_fallback"] == true && from_byte_fallback(token).is_some();
    if is_byte { BYTE } else { NORMAL }
}

fn is_unknown_token(model: &Value, id: u64, token: &str) -> bool {
    model["unk_id"] == id || model["unk_token"] == token
}

/// Sets `add_bos`, `add_eos` and their roles to the special tokens that the tokenizer adds around a text. Kiln's
/// documents begin with `bos`, although its tokenizers add nothing.
fn detect_added_tokens(tokenizer: &Tokenizer, model: &Value, mut gguf: GgufTokenizer) -> GgufTokenizer {
    let ids = tokenizer.encode_for_model("a", None, &EncodeOptions::default()).unwrap_or_default().ids;
    let [first, last] =
        [ids.first(), ids.last()].map(|id| id.copied().filter(|id| ids.len() > 1 && tokenizer.is_special(*id)));
    gguf.add_bos = Some(first.is_some() || tokenizer.is_kiln_trained());
    gguf.add_eos = Some(last.is_some());
    let roles = &mut gguf.roles;
    let (first_role, last_role) =
        if is_wordpiece(model) { (&mut roles.cls, &mut roles.sep) } else { (&mut roles.bos, &mut roles.eos) };
    *first_role = first.or(*first_role);
    *last_role = last.or(*last_role);
    gguf
}

/// Checks that a section has only parts of the given types.
///
/// # Errors
/// [`DataError::UnsupportedByGguf`] with the first other type.
pub(super) fn require_part_types(file: &Value, section: &str, supported: &[&str]) -> Result<(), DataError> {
    match part_types(&file[section]).into_iter().find(|kind| !supported.contains(&kind.as_str())) {
        None => Ok(()),
        Some(kind) => {
            let supported = supported.join(", ");
            Err(unsupported(format!("unsupported `{kind}` in `{section}`; supported: {supported}")))
        }
    }
}

pub(super) fn unsupported(reason: impl Into<String>) -> DataError {
    DataError::UnsupportedByGguf { reason: reason.into() }
}

/// Texts at which tokenizers that differ usually differ: runs of spaces, digits, case, composed and decomposed accents,
/// symbols, scripts without spaces, joined emoji, control characters.
const PROBE_TEXTS: [&str; 16] = [
    "",
    " ",
    "a",
    "  Hello   World  ",
    "HELLO, World! it's they'RE I'll",
    "3.14159 1234567890 1,000 \u{bd} \u{664}",
    "caf\u{e9} cafe\u{301} na\u{ef}ve Stra\u{df}e \u{fb01}ne \u{212b}",
    "\u{ff26}\u{ff35}\u{ff2c}\u{ff2c} \u{2460} \u{337f}",
    "\u{6771}\u{4eac}\u{306f} \u{732b}\u{3002} \u{d55c}\u{ae00} \u{e44}\u{e17}\u{e22} \u{928}\u{92e}\u{938}",
    "\u{1f469}\u{200d}\u{1f469} \u{1f44d}\u{1f3fd} \u{1f600}\u{1f600}a\u{1f389}b",
    "def f(x):\n    return x**2  # y\n\n\tif x != None && y <= 3: {}[]()",
    "one\r\ntwo\rthree\n\n\nsix\t\ta",
    "zero\u{200b}width\u{200d}join\u{feff} soft\u{ad} \u{a0}nb\u{2003}em\u{3000}wide",
    "nul\u{0} bell\u{7}\u{1b}[0m",
    "$ ^ ` ~ | \\ '\" ...!!!???---___ <0x41> \u{2581} \u{120} ##",
    "supercalifragilisticexpialidocious\u{e9}\u{e9}\u{e9}\u{e9} wwwwwwwwwwwwwwww",
];

/// First text that two tokenizers encode differently: a probe text, the text of a token, or the name of a special token
/// within a text; or the first token whose names differ. A tokenizer trained by Kiln is compared on plain text only,
/// because it recognizes no special tokens.
fn first_difference(original: &Tokenizer, restored: &Tokenizer) -> Option<String> {
    let ids = 0..original.vocab_size() as u32;
    let token_texts = ids.clone().filter_map(|id| String::from_utf8(original.token_bytes(id).to_vec()).ok());
    let mut texts = PROBE_TEXTS.iter().map(|text| (*text).to_owned()).chain(token_texts);
    if original.is_kiln_trained() {
        return texts.find(|text| original.encode(text) != restored.encode(text));
    }
    let special_ids = ids.clone().filter(|id| original.is_special(*id));
    let special_texts = special_ids.map(|id| format!("x{}y", original.id_to_token(id)));
    let by_text = texts.chain(special_texts).find(|text| model_input(original, text) != model_input(restored, text));
    by_text.or_else(|| {
        ids.map(|id| (original.id_to_token(id), restored.id_to_token(id))).find(|(a, b)| a != b).map(|(a, _)| a)
    })
}

/// Ids of a text with the added special tokens.
fn model_input(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode_for_model(text, None, &EncodeOptions::default()).unwrap_or_default().ids
}
