//! Chat templates: conversations rendered to the text that a model was trained on.
//!
//! A chat template is a Jinja program that comes with the model, in `chat_template.jinja` or under `chat_template` of
//! `tokenizer_config.json`. It runs in MiniJinja with the settings and functions of Hugging Face's `transformers`
//! (`apply_chat_template`), so that it gives the same text, byte for byte.
//!
//! # Language
//!
//! - MiniJinja's syntax, filters, tests and functions, with `trim_blocks` and `lstrip_blocks`, `{% break %}` and
//!   `{% continue %}`. `{% include %}` and `{% import %}` find no other templates.
//! - Python's methods of strings, lists and dictionaries (`text.strip()`, `message.get('name')`).
//! - `tojson(indent=None, separators=None, sort_keys=False)`: `json.dumps` with `ensure_ascii=False`.
//! - `raise_exception(message)`: rejects the conversation; `strftime_now(format)`: the time of
//!   [`ChatTemplateOptions::now`].
//! - `{% generation %}` … `{% endgeneration %}`, which mark the assistant's text for training, have no effect.
//!
//! # Variables
//!
//! `messages`, `tools`, `documents`, `add_generation_prompt`, the special tokens (`bos_token`, `eos_token`, …) and
//! [`ChatTemplateOptions::template_kwargs`].
//!
//! # Limits
//!
//! A template is a program from an unknown source. These limits bound its time, its memory and the depth of the stack;
//! templates of real models stay far below them.
//!
//! | what | limit | checked |
//! |---|---|---|
//! | length of the template | 1 MiB | when it is loaded |
//! | nesting of blocks and of brackets | 64 | when it is loaded |
//! | operators in one tag | 400 | when it is loaded |
//! | calls of macros | 200 deep | when it renders |
//! | fuel: 1 for each instruction and for 64 bytes of data | 2²² + bytes of the conversation as JSON | when it renders |
//! | depth of an assigned value | 96 | at each assignment |
//! | items of all assigned values together | 16 for each unit of fuel | at each assignment |
//! | length of a text from `replace` or `join` | 16 MiB | before the call |
//! | depth of a value for `tojson`, its `indent` | 128, 64 | when it renders |
//!
//! # Example
//!
//! ```
//! use kiln_data::{ChatTemplate, ChatTemplateOptions, chat::chat_message};
//!
//! let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}\
//!     {% if add_generation_prompt %}<|assistant|>{% endif %}";
//! let special_tokens = serde_json::json!({ "eos_token": "</s>" }).as_object().cloned().unwrap();
//! let template = ChatTemplate::new(source, special_tokens)?;
//! let options = ChatTemplateOptions { add_generation_prompt: true, ..Default::default() };
//! let text = template.render(&[chat_message("user", "Hello")], &options)?;
//! assert_eq!(text, "<|user|>Hello</s><|assistant|>");
//! # Ok::<(), kiln_data::DataError>(())
//! ```

mod clock;
mod jinja;
mod message;
#[cfg(test)]
mod tests;

use crate::{
    DataError,
    file_set::{FileSet, read_json, read_text},
    tokenizer::token_content,
};
pub use clock::TemplateClock;
pub use message::chat_message;
use message::with_reasoning_aliases;
use jinja::Program;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Maximum length of a template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// Fuel of a rendering, besides one unit for each byte of its variables: an instruction costs 1, and so does an item or
/// 64 bytes of text that the template makes.
const BASE_FUEL: u64 = 4 << 20;

/// Chat template: a compiled Jinja template with the special tokens that it inserts.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    program: Arc<Program>,
    source: String,
    special_tokens: Map<String, Value>,
}

/// Variables of a chat template besides the messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatTemplateOptions {
    /// Whether the text ends with the beginning of an assistant message, for the model to continue.
    pub add_generation_prompt: bool,
    /// Tools that the model may call, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Documents for the model to use (retrieval).
    pub documents: Option<Vec<Value>>,
    /// Further variables, such as `enable_thinking`. They replace special tokens of the same name.
    pub template_kwargs: Map<String, Value>,
    /// Time for `strftime_now`; without it, a template that calls the function fails.
    pub now: Option<TemplateClock>,
}

impl ChatTemplate {
    /// Compiles a template. `special_tokens` are constants by name: `bos_token`, `eos_token` and so on, as strings.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] for a syntax error, with its line, or a template above the limits.
    pub fn new(template: &str, special_tokens: Map<String, Value>) -> Result<Self, DataError> {
        if template.len() > MAX_TEMPLATE_BYTES {
            let length = template.len();
            let reason = format!("the template has {length} bytes, expected at most {MAX_TEMPLATE_BYTES}");
            return Err(DataError::ChatTemplate { reason });
        }
        let program = Program::parse(template).map_err(|error| template_error(&error))?;
        Ok(Self { program: Arc::new(program), source: template.to_owned(), special_tokens })
    }

    /// The template of a parsed `tokenizer_config.json`; `None` if it has no `chat_template`.
    ///
    /// `chat_template` is a string, or a list of named templates: then `tool_use` if `tools` is true and there is one,
    /// else `default`.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn from_config(config: &Value, tools: bool) -> Result<Option<Self>, DataError> {
        let templates = &config["chat_template"];
        let tool_use = if tools { named_template(templates, "tool_use") } else { None };
        let template = templates.as_str().or(tool_use).or_else(|| named_template(templates, "default"));
        template.map(|template| Self::new(template, special_tokens_of_config(config))).transpose()
    }

    /// The template of a Hugging Face folder: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`.
    /// Special tokens are those of `tokenizer_config.json`, completed by `special_tokens_map.json`. `None` if the
    /// folder has no template.
    ///
    /// # Errors
    /// If a file cannot be read or parsed, or those of [`new`](Self::new).
    #[cfg(feature = "files")]
    pub fn from_folder(folder: &std::path::Path) -> Result<Option<Self>, DataError> {
        Self::from_files(folder)
    }

    /// The template of the files of a folder, on disk or in memory, as `from_folder` reads it.
    ///
    /// # Errors
    /// If a file cannot be read or parsed, or those of [`new`](Self::new).
    pub fn from_files<F: FileSet + ?Sized>(files: &F) -> Result<Option<Self>, DataError> {
        let mut config = read_json(files, "tokenizer_config.json")?.unwrap_or_default();
        if let (Some(map), Some(config)) = (read_json(files, "special_tokens_map.json")?, config.as_object_mut()) {
            for (name, token) in map.as_object().into_iter().flatten() {
                config.entry(name).or_insert_with(|| token.clone());
            }
        }
        match read_text(files, "chat_template.jinja")? {
            Some(template) => Self::new(&template, special_tokens_of_config(&config)).map(Some),
            None => Self::from_config(&config, false),
        }
    }

    /// Source of the template.
    pub fn template(&self) -> &str {
        &self.source
    }

    /// The special tokens by name, as strings.
    pub fn special_tokens(&self) -> &Map<String, Value> {
        &self.special_tokens
    }

    /// A `tokenizer_config.json` of the template and its special tokens: the inverse of
    /// [`from_config`](Self::from_config).
    pub fn to_config(&self) -> Value {
        let mut config = self.special_tokens.clone();
        config.insert("chat_template".into(), self.source.clone().into());
        config.into()
    }

    /// Renders a conversation. Each message is an object with `role`, `content`, and what else the template reads, such
    /// as `tool_calls`. Reasoning under `reasoning_content`, `thinking` or `reasoning` is available as both of the
    /// first two.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] with the message of `raise_exception`, an error in an expression with its line, or a
    /// limit that the template exceeds.
    pub fn render(&self, messages: &[Value], options: &ChatTemplateOptions) -> Result<String, DataError> {
        let messages: Vec<Value> = messages.iter().map(with_reasoning_aliases).collect();
        let variables = self.variables(&messages, options);
        let num_bytes = serde_json::to_vec(&variables).map_or(0, |bytes| bytes.len() as u64);
        self.program.render(&variables, options.now, BASE_FUEL + num_bytes).map_err(|error| template_error(&error))
    }

    /// The variables of the template. The conversation replaces keyword arguments of the same names, and those replace
    /// special tokens.
    fn variables(&self, messages: &[Value], options: &ChatTemplateOptions) -> Map<String, Value> {
        let mut variables = self.special_tokens.clone();
        variables.extend(options.template_kwargs.clone());
        variables.insert("messages".into(), messages.into());
        variables.insert("tools".into(), options.tools.clone().into());
        variables.insert("documents".into(), options.documents.clone().into());
        variables.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        variables
    }
}

/// A template by its name in a list of templates; `None` if `templates` is no list.
fn named_template<'a>(templates: &'a Value, name: &str) -> Option<&'a str> {
    templates.as_array()?.iter().find(|entry| entry["name"] == name)?["template"].as_str()
}

/// The special tokens of a `tokenizer_config.json` as strings: all keys that end with `_token`.
pub(crate) fn special_tokens_of_config(config: &Value) -> Map<String, Value> {
    let fields = config.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("_token"));
    fields.filter_map(|(name, token)| Some((name.clone(), token_content(token)?.into()))).collect()
}

/// An error of a template as [`DataError::ChatTemplate`].
fn template_error(error: &jinja::Error) -> DataError {
    DataError::ChatTemplate { reason: error.to_string() }
}
