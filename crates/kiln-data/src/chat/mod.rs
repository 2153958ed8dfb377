//! Chat templates: conversations rendered to the text that a model was trained on.
//!
//! A chat template is a Jinja program that comes with the model, in `chat_template.jinja` or under `chat_template` of
//! `tokenizer_config.json`. It runs in an interpreter with the values and operators of Python and the settings and
//! functions of Hugging Face's `transformers` (`apply_chat_template`), so that it gives the same text, byte for byte. What
//! the interpreter does not support is an error that names the construct and the line of the template; no construct is
//! passed over.
//!
//! # Language
//!
//! - Jinja2's syntax, filters, tests and functions in a sandbox without changes of values, with `trim_blocks` and
//!   `lstrip_blocks`, `{% break %}` and `{% continue %}`. `{% include %}` and `{% import %}` find no other templates.
//! - Python's operators (`//`, `%` of strings, `in`, slices), `str` and `repr` of all values, and the methods of strings,
//!   lists, tuples and dictionaries that do not change them (`text.partition(': ')`, `message.get('name')`).
//! - `tojson(indent=None, separators=None, sort_keys=False)`: `json.dumps` with `ensure_ascii=False`.
//! - `raise_exception(message)`: rejects the conversation; `strftime_now(format)`: the time of
//!   [`ChatTemplateOptions::now`].
//! - `{% generation %}` … `{% endgeneration %}`, which mark the assistant's text for training: see
//!   [`ChatTemplate::render_with_spans`].
//!
//! Not supported: the filters `random`, `pprint`, `urlize`, `urlencode`, `xmlattr`, `striptags`, `filesizeformat` and
//! `wordwrap`, operators on escaped text (`x | e + y`), `{% autoescape %}`, scoped blocks, integers above 127 bits, and
//! printing what Python prints with an address, such as a generator.
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
//! | nesting of blocks and of expressions | 64 | when it is loaded |
//! | operators in one tag | 400 | when it is loaded |
//! | nested evaluations: expressions, blocks and calls of macros | 256 | when it renders |
//! | fuel: 1 for each instruction, item and 64 bytes of text | 2²² + bytes of the conversation as JSON | when it renders |
//! | depth of a value, parts of a value | 160, 2²⁴ | when it is made |
//! | length of a text from a method or `*` | 16 MiB | before it is made |
//! | length of the rendered text | 256 MiB | when it renders |
//! | `indent` of `tojson`; width of a formatted field | 64; 65,536 | when it renders |
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
use jinja::{Program, Rendered};
pub use message::chat_message;
use message::with_reasoning_aliases;
use serde_json::{Map, Value, json};
use std::{ops::Range, sync::Arc};

/// Maximum length of a template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// Fuel of a rendering, besides one unit for each byte of its variables: an instruction costs 1, and so does an item or
/// 64 bytes of text that the template makes.
const BASE_FUEL: u64 = 4 << 20;

/// Chat template: a compiled Jinja template with the special tokens that it inserts.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    default: Compiled,
    /// The template for conversations with tools, if the model has one of its own.
    tool_use: Option<Compiled>,
    special_tokens: Map<String, Value>,
}

/// A template and its source.
#[derive(Clone, Debug)]
struct Compiled {
    program: Arc<Program>,
    source: String,
}

impl Compiled {
    fn new(source: &str) -> Result<Self, DataError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            let length = source.len();
            let reason = format!("the template has {length} bytes, expected at most {MAX_TEMPLATE_BYTES}");
            return Err(DataError::ChatTemplate { reason });
        }
        let program = Program::parse(source).map_err(|error| template_error(&error))?;
        Ok(Self { program: Arc::new(program), source: source.to_owned() })
    }
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

/// A rendered conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedChat {
    /// The text.
    pub text: String,
    /// Ranges of bytes that the template marks with `{% generation %}`, in order. `None` for a template without marks, and
    /// if a mark is within a macro or a captured block, so that its place in the text is not known.
    pub generation_spans: Option<Vec<Range<usize>>>,
}

impl ChatTemplate {
    /// A template for all conversations. `special_tokens` are constants by name: `bos_token`, `eos_token` and so on, as strings.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] for a syntax error, with its line, or a template above the limits.
    pub fn new(template: &str, special_tokens: Map<String, Value>) -> Result<Self, DataError> {
        Ok(Self { default: Compiled::new(template)?, tool_use: None, special_tokens })
    }

    /// Adds the template that renders conversations with tools.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_tool_use(self, template: &str) -> Result<Self, DataError> {
        Ok(Self { tool_use: Some(Compiled::new(template)?), ..self })
    }

    /// The template of a parsed `tokenizer_config.json`; `None` if it has no `chat_template`.
    ///
    /// `chat_template` is a string, or a list of named templates. Of these, `default` is the template, and `tool_use` renders
    /// conversations with tools; if `tools` is true, `tool_use` is the template.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn from_config(config: &Value, tools: bool) -> Result<Option<Self>, DataError> {
        let templates = &config["chat_template"];
        let tool_use = named_template(templates, "tool_use");
        let of_tools = if tools { tool_use } else { None };
        let Some(template) = templates.as_str().or(of_tools).or_else(|| named_template(templates, "default")) else {
            return Ok(None);
        };
        let chat = Self::new(template, special_tokens_of_config(config))?;
        match tool_use {
            Some(tool_use) => chat.with_tool_use(tool_use).map(Some),
            None => Ok(Some(chat)),
        }
    }

    /// The template of a Hugging Face folder: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`.
    /// `additional_chat_templates/tool_use.jinja` beside the first renders conversations with tools.
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
            Some(template) => {
                let chat = Self::new(&template, special_tokens_of_config(&config))?;
                match read_text(files, "additional_chat_templates/tool_use.jinja")? {
                    Some(tool_use) => chat.with_tool_use(&tool_use).map(Some),
                    None => Ok(Some(chat)),
                }
            }
            None => Self::from_config(&config, false),
        }
    }

    /// Source of the template.
    pub fn template(&self) -> &str {
        &self.default.source
    }

    /// The special tokens by name, as strings.
    pub fn special_tokens(&self) -> &Map<String, Value> {
        &self.special_tokens
    }

    /// A `tokenizer_config.json` of the template and its special tokens: the inverse of
    /// [`from_config`](Self::from_config).
    pub fn to_config(&self) -> Value {
        let mut config = self.special_tokens.clone();
        let template = &self.default.source;
        let templates = match &self.tool_use {
            None => json!(template),
            Some(tool_use) => json!([
                { "name": "default", "template": template },
                { "name": "tool_use", "template": tool_use.source },
            ]),
        };
        config.insert("chat_template".into(), templates);
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
        Ok(self.render_with_spans(messages, options)?.text)
    }

    /// Renders a conversation, and says which parts of the text the template marks with `{% generation %}`: the text of the
    /// assistant, on which a model is trained.
    ///
    /// # Errors
    /// Those of [`render`](Self::render).
    pub fn render_with_spans(
        &self,
        messages: &[Value],
        options: &ChatTemplateOptions,
    ) -> Result<RenderedChat, DataError> {
        let messages: Vec<Value> = messages.iter().map(with_reasoning_aliases).collect();
        let variables = self.variables(&messages, options);
        let num_bytes = serde_json::to_vec(&variables).map_or(0, |bytes| bytes.len() as u64);
        let template = self.tool_use.as_ref().filter(|_| options.tools.is_some()).unwrap_or(&self.default);
        let rendered = template.program.render(&variables, options.now, BASE_FUEL + num_bytes);
        let Rendered { text, generation_spans } = rendered.map_err(|error| template_error(&error))?;
        Ok(RenderedChat { text, generation_spans })
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
