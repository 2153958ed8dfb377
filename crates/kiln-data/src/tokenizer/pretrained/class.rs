//! [`TokenizerClass`]: which tokenizer class of the `transformers` library reads a folder.
//!
//! The class decides more than a name: most classes take only vocabulary and merges from a `tokenizer.json` and bring
//! their own normalizer, pre-tokenizer and decoder, which flags of `tokenizer_config.json` change. The choice follows
//! `AutoTokenizer` of the version that `class_table.json` names. `tools/tokenizer_classes.py` writes that table.

use serde_json::Value;
use std::sync::LazyLock;

/// Tokenizer class whose rules Kiln knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenizerClass {
    /// `TokenizersBackend`, formerly `PreTrainedTokenizerFast`: a `tokenizer.json` as it is.
    Backend,
    Albert,
    Bert,
    Camembert,
    CodeLlama,
    Gemma,
    Gpt2,
    GptNeoX,
    Llama,
    MpNet,
    Qwen2,
    Qwen3_5,
    Roberta,
    T5,
    XlmRoberta,
}

use TokenizerClass::{
    Albert, Backend, Bert, Camembert, CodeLlama, Gemma, Gpt2, GptNeoX, Llama, MpNet, Qwen2, Qwen3_5, Roberta, T5,
    XlmRoberta,
};

/// The classes by their names in files.
const CLASSES: [(&str, TokenizerClass); 16] = [
    (BACKEND_NAME, Backend),
    ("AlbertTokenizer", Albert),
    ("BertTokenizer", Bert),
    ("DistilBertTokenizer", Bert),
    ("CamembertTokenizer", Camembert),
    ("CodeLlamaTokenizer", CodeLlama),
    ("GemmaTokenizer", Gemma),
    ("GPT2Tokenizer", Gpt2),
    ("GPTNeoXTokenizer", GptNeoX),
    ("LlamaTokenizer", Llama),
    ("MPNetTokenizer", MpNet),
    ("Qwen2Tokenizer", Qwen2),
    ("Qwen3_5Tokenizer", Qwen3_5),
    ("RobertaTokenizer", Roberta),
    ("T5Tokenizer", T5),
    ("XLMRobertaTokenizer", XlmRoberta),
];

const BACKEND_NAME: &str = "TokenizersBackend";

/// Classes that stand for a `tokenizer.json` as it is.
const GENERIC_NAMES: [&str; 4] = [BACKEND_NAME, "PythonBackend", "PreTrainedTokenizerFast", "MistralCommonBackend"];

/// The table that `tools/tokenizer_classes.py` writes.
static TABLE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("class_table.json")).unwrap_or_default());

/// Algorithm of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelKind {
    Bpe,
    WordPiece,
    Unigram,
    WordLevel,
}

impl ModelKind {
    /// The algorithm of the section `model` of a `tokenizer.json`. Files of older versions have no `type`.
    pub fn of(model: &Value) -> Self {
        match model["type"].as_str() {
            Some("WordLevel") => Self::WordLevel,
            Some("WordPiece") => Self::WordPiece,
            _ if model["vocab"].is_array() => Self::Unigram,
            _ if model["merges"].is_array() => Self::Bpe,
            _ if model["max_input_chars_per_word"].is_u64() => Self::WordPiece,
            _ => Self::WordLevel,
        }
    }

    /// The name in `model.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpe => "BPE",
            Self::WordPiece => "WordPiece",
            Self::Unigram => "Unigram",
            Self::WordLevel => "WordLevel",
        }
    }
}

impl TokenizerClass {
    /// The algorithm of the class's vocabularies; `None` for [`Backend`], which takes all.
    pub fn model_kind(self) -> Option<ModelKind> {
        match self {
            Backend => None,
            Bert | MpNet => Some(ModelKind::WordPiece),
            Albert | Camembert | T5 | XlmRoberta => Some(ModelKind::Unigram),
            CodeLlama | Gemma | Gpt2 | GptNeoX | Llama | Qwen2 | Qwen3_5 | Roberta => Some(ModelKind::Bpe),
        }
    }

    /// Whether the class has a BPE of bytes (`true`) or of characters; `None` if it has no BPE.
    pub fn is_byte_level(self) -> Option<bool> {
        match self {
            Gpt2 | GptNeoX | Qwen2 | Qwen3_5 | Roberta => Some(true),
            CodeLlama | Gemma | Llama => Some(false),
            Albert | Backend | Bert | Camembert | MpNet | T5 | XlmRoberta => None,
        }
    }

    /// The names of its default special tokens, by role in the order of the reference: `bos`, `eos`, `unk`, `sep`,
    /// `pad`, `cls`, `mask`.
    pub fn default_tokens(self) -> [Option<&'static str>; 7] {
        const END: Option<&str> = Some("<|endoftext|>");
        match self {
            Backend => [None; 7],
            Albert => [
                Some("[CLS]"),
                Some("[SEP]"),
                Some("<unk>"),
                Some("[SEP]"),
                Some("<pad>"),
                Some("[CLS]"),
                Some("[MASK]"),
            ],
            Bert => [None, None, Some("[UNK]"), Some("[SEP]"), Some("[PAD]"), Some("[CLS]"), Some("[MASK]")],
            Camembert | Roberta | XlmRoberta => roberta_tokens("<unk>"),
            MpNet => roberta_tokens("[UNK]"),
            CodeLlama | Llama => [Some("<s>"), Some("</s>"), Some("<unk>"), None, None, None, None],
            Gemma => [Some("<bos>"), Some("<eos>"), Some("<unk>"), None, Some("<pad>"), None, Some("<mask>")],
            Gpt2 => [END, END, END, None, None, None, None],
            GptNeoX => [END, END, END, None, Some("<|padding|>"), None, None],
            Qwen2 | Qwen3_5 => [None, END, END, None, END, None, None],
            T5 => [None, Some("</s>"), Some("<unk>"), None, Some("<pad>"), None, None],
        }
    }
}

const fn roberta_tokens(unknown: &'static str) -> [Option<&'static str>; 7] {
    [Some("<s>"), Some("</s>"), Some(unknown), Some("</s>"), Some("<pad>"), Some("<s>"), Some("<mask>")]
}

/// The class of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChosenClass {
    pub class: TokenizerClass,
    /// Its name in the reference.
    pub name: String,
    /// Whether the reference has rules for this class that Kiln does not know.
    pub is_unknown: bool,
}

/// Chooses the class of a folder from its `tokenizer_config.json`, `config.json` and the text of its `tokenizer.json`.
pub(super) fn choose(config: &Value, model_config: &Value, tokenizer_json: Option<&str>) -> ChosenClass {
    let name = chosen_name(config, model_config, tokenizer_json);
    let known = CLASSES.iter().find(|(known, _)| *known == name);
    ChosenClass { class: known.map_or(Backend, |(_, class)| *class), is_unknown: known.is_none(), name }
}

fn chosen_name(config: &Value, model_config: &Value, tokenizer_json: Option<&str>) -> String {
    let declared = [config, model_config].map(|file| file["tokenizer_class"].as_str());
    let model_type = model_config["model_type"].as_str().unwrap_or_default();
    let registered = TABLE["model_types"][model_type].as_str();
    let is_unreliable = is_listed("unreliable", model_type);
    let has_own_code = !config["auto_map"].is_null();
    if let Some(declared) = declared[0].or(declared[1]).filter(|_| !has_own_code) {
        let is_byte_level = || tokenizer_json.is_some_and(|text| text.contains("\"ByteLevel\""));
        if base_name(declared) == "LlamaTokenizer" && !is_unreliable && is_byte_level() {
            return BACKEND_NAME.into();
        }
        if let Some(registered) = registered.map(base_name).filter(|name| *name != base_name(declared)) {
            let candidate = if is_unreliable { registered } else { declared };
            let resolved = resolve(candidate).filter(|name| !GENERIC_NAMES.contains(&name.as_str()));
            return resolved.filter(|_| !GENERIC_NAMES.contains(&registered)).unwrap_or_else(|| BACKEND_NAME.into());
        }
    }
    let named = declared[0].or(declared[1]).map(|name| resolve(base_name(name)));
    let by_type = || registered.map(str::to_string);
    let found = named.unwrap_or_else(by_type).unwrap_or_else(|| BACKEND_NAME.into());
    if GENERIC_NAMES.contains(&found.as_str()) { BACKEND_NAME.into() } else { found }
}

/// A class name without `Fast`, except for the generic class that has no other name.
fn base_name(name: &str) -> &str {
    if name == "PreTrainedTokenizerFast" { name } else { name.strip_suffix("Fast").unwrap_or(name) }
}

/// The class that a name stands for; `None` if the reference has none.
fn resolve(name: &str) -> Option<String> {
    TABLE["classes"][name].as_str().map(str::to_string)
}

fn is_listed(list: &str, name: &str) -> bool {
    TABLE[list].as_array().is_some_and(|names| names.iter().any(|known| known == name))
}
