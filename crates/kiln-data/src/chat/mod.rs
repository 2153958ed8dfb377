//! Conversations as the text that a model was trained to read: chat templates.
//!
//! A template is a Jinja program that comes with the model. It runs with what the `transformers` library gives it, and
//! with a budget: none runs away with time or memory.

mod clock;
mod message;
mod python_methods;
mod syntax_limits;
#[cfg(test)]
mod tests;
mod tojson;
mod value_limits;

use crate::{
    DataError,
    file_set::{FileSet, read_json, read_text},
};
pub use clock::TemplateClock;
pub use message::chat_message;
use message::with_reasoning_aliases;
use minijinja::{Environment, Error, ErrorKind, Value as Jinja, syntax::SyntaxConfig, value::Serde};
use serde_json::{Map, Value};

/// The longest template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// What a template may cost beside what it is given: an instruction is 1, and so are 64 bytes that it makes.
const BASE_FUEL: u64 = 4 << 20;
/// How many parts the values that it assigns may have, all together.
const BASE_VALUE_PARTS: u64 = 16 * BASE_FUEL;
const TEMPLATE_NAME: &str = "chat";

/// A chat template with the tokens it names.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special_tokens: Map<String, Value>,
}

/// What a conversation is rendered with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatTemplateOptions {
    /// Whether the text ends where the assistant's next message begins.
    pub add_generation_prompt: bool,
    /// Tools that the model may call, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Documents that the model may use.
    pub documents: Option<Vec<Value>>,
    /// What else the template is given, such as `enable_thinking`.
    pub template_kwargs: Map<String, Value>,
    /// The time that a template may ask for.
    pub now: Option<TemplateClock>,
}

impl ChatTemplate {
    /// Reads a template. `tokens` are its constants: `bos_token`, `eos_token` and so on, as text.
    ///
    /// # Errors
    /// If it is no Jinja template, or longer than a mebibyte.
    pub fn new(template: &str, tokens: Map<String, Value>) -> Result<Self, DataError> {
        if template.len() > MAX_TEMPLATE_BYTES {
            let what = format!("a template of {} bytes, of at most {MAX_TEMPLATE_BYTES}", template.len());
            return Err(DataError::ChatTemplate { reason: what });
        }
        syntax_limits::check_nesting(template)?;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| template_error(&error))?);
        environment.set_recursion_limit(200);
        environment.set_unknown_method_callback(python_methods::call_method);
        environment.add_filter("tojson", tojson::tojson);
        environment.add_function("raise_exception", |what: String| -> Result<Jinja, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, what))
        });
        let source = strip_generation_tags(template);
        environment
            .add_template_owned(TEMPLATE_NAME, value_limits::guard_assignments(&source))
            .map_err(|error| template_error(&error))?;
        Ok(Self { environment, source, special_tokens: tokens })
    }

    /// The template of a `tokenizer_config.json`, or none if it has none. Of several, the one for tools is taken where
    /// `tools` says so, else the one called `default`.
    ///
    /// # Errors
    /// If the template is none.
    pub fn from_config(config: &Value, tools: bool) -> Result<Option<Self>, DataError> {
        let named = |wanted: &str| {
            let all = config["chat_template"].as_array().into_iter().flatten();
            all.into_iter().find(|entry| entry["name"] == wanted).and_then(|entry| entry["template"].as_str())
        };
        let found = config["chat_template"].as_str();
        let found = found.or_else(|| named("tool_use").filter(|_| tools)).or_else(|| named("default"));
        found.map(|template| Self::new(template, special_tokens_of_config(config))).transpose()
    }

    /// Returns the template of a Hugging Face folder: `chat_template.jinja`, else the key `chat_template` of
    /// `tokenizer_config.json`; `None` if the folder has neither.
    ///
    /// # Errors
    /// If a file cannot be read, or the template is not valid.
    #[cfg(feature = "files")]
    pub fn from_folder(folder: &std::path::Path) -> Result<Option<Self>, DataError> {
        Self::from_files(folder)
    }

    /// Returns the template of the files of a Hugging Face folder, on disk or in memory, as [`from_folder`] does.
    ///
    /// # Errors
    /// If a file cannot be read, or the template is not valid.
    ///
    /// [`from_folder`]: Self::from_folder
    pub fn from_files<F: FileSet + ?Sized>(files: &F) -> Result<Option<Self>, DataError> {
        let mut config = read_json(files, "tokenizer_config.json")?.unwrap_or_default();
        if let (Some(map), Some(config)) = (read_json(files, "special_tokens_map.json")?, config.as_object_mut()) {
            map.as_object().into_iter().flatten().for_each(|(name, token)| {
                config.entry(name).or_insert_with(|| token.clone());
            });
        }
        match read_text(files, "chat_template.jinja")? {
            Some(template) => Self::new(&template, special_tokens_of_config(&config)).map(Some),
            None => Self::from_config(&config, false),
        }
    }

    /// The template's text.
    pub fn template(&self) -> &str {
        &self.source
    }

    /// Its constants: the special tokens by name, as text.
    pub fn special_tokens(&self) -> &Map<String, Value> {
        &self.special_tokens
    }

    /// What [`from_config`](Self::from_config) reads back: the template with its constants.
    pub fn to_config(&self) -> Value {
        let mut config = self.special_tokens.clone();
        config.insert("chat_template".into(), self.source.clone().into());
        config.into()
    }

    /// The conversation as text. A message is an object with `role` and `content`, and whatever else the template reads.
    ///
    /// # Errors
    /// What the template objects to (`raise_exception`), what it asks for and isn't there, or that it runs away.
    pub fn render(&self, messages: &[Value], options: &ChatTemplateOptions) -> Result<String, DataError> {
        let mut environment = self.environment.clone();
        let now = options.now;
        environment.add_function("strftime_now", move |format: String| match now {
            Some(now) => Ok(now.strftime(&format)),
            None => Err(Error::new(ErrorKind::InvalidOperation, "the template asks for the time, and none was given")),
        });
        let messages: Vec<Value> = messages.iter().map(with_reasoning_aliases).collect();
        let given = self.render_context(&messages, options);
        let size = serde_json::to_vec(&given).map_or(0, |bytes| bytes.len() as u64);
        environment.set_fuel(Some(BASE_FUEL + size));
        environment.add_filter(
            value_limits::DEPTH_FILTER,
            value_limits::depth_filter(BASE_VALUE_PARTS + BASE_VALUE_PARTS / BASE_FUEL * size),
        );
        let template = environment.get_template(TEMPLATE_NAME).map_err(|error| template_error(&error))?;
        template.render(Jinja::from(Serde(&given))).map_err(|error| template_error(&error))
    }

    fn render_context(&self, messages: &[Value], options: &ChatTemplateOptions) -> Map<String, Value> {
        let mut given = self.special_tokens.clone();
        given.extend(options.template_kwargs.clone());
        let list = |list: &Option<Vec<Value>>| list.clone().map_or(Value::Null, Value::from);
        given.insert("messages".into(), messages.into());
        given.insert("tools".into(), list(&options.tools));
        given.insert("documents".into(), list(&options.documents));
        given.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        given
    }
}

/// The special tokens of a `tokenizer_config.json` as text.
pub(crate) fn special_tokens_of_config(config: &Value) -> Map<String, Value> {
    let text = |token: &Value| token.as_str().or_else(|| token["content"].as_str()).map(Value::from);
    let all = config.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("_token"));
    all.filter_map(|(name, token)| Some((name.clone(), text(token)?))).collect()
}

/// `{% generation %}` marks what the assistant wrote, for training; to the text it means nothing.
fn strip_generation_tags(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        // From behind `{%`: its `%` may not end the tag that it begins.
        let Some(end) = tag[2..].find("%}").map(|end| end + 4) else { break };
        let inner = &tag[2..end - 2];
        let plain = inner.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        text += before;
        match plain {
            "generation" => text += &tag[..end].replace(plain, "if true"),
            "endgeneration" => text += &tag[..end].replace(plain, "endif"),
            _ => text += &tag[..end],
        }
        rest = &tag[end..];
    }
    text + rest
}

/// What went wrong, in one line.
fn template_error(error: &Error) -> DataError {
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "it runs away: stopped after more work than any conversation needs".into(),
        _ => error.to_string(),
    };
    DataError::ChatTemplate { reason: what }
}
