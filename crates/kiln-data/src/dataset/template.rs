//! The chat template of a source: that of the model, ChatML, or a file.

use crate::{ChatTemplate, DataError, Tokenizer};
use serde_json::{Map, Value};

/// Name of the built-in template.
pub const CHATML: &str = "chatml";

/// ChatML, the format of OpenAI's chat models: each message between `<|im_start|>` and `<|im_end|>`. The marks make the content
/// and the end of an answer trained.
const CHATML_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}\
    {% if message['role'] == 'assistant' %}{% generation %}{{ (message['content'] or '') + '<|im_end|>' }}{% endgeneration %}\
    {% else %}{{ (message['content'] or '') + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Chat template of a source.
pub(super) enum TemplateChoice {
    /// The template of the model.
    Model,
    /// The source of a template.
    Source(String),
}

impl TemplateChoice {
    /// The choice of the key `data.template`: the path of a file, or `chatml`. A file is read.
    ///
    /// # Errors
    /// [`DataError::PathNotFound`] or an I/O error for a file, [`DataError::ChatTemplate`] for a template with a syntax error.
    pub fn open(template: Option<&str>) -> Result<Self, DataError> {
        let source = match template {
            None => return Ok(Self::Model),
            Some(CHATML) => CHATML_TEMPLATE.to_owned(),
            Some(path) => read_template(path)?,
        };
        ChatTemplate::new(&source, Map::new())?;
        Ok(Self::Source(source))
    }

    /// The template. Its special tokens are those of the model's own template, else those of the tokenizer.
    ///
    /// # Errors
    /// [`DataError::ChatTemplate`] for a template with a syntax error.
    pub fn resolve(
        &self,
        model: Option<&ChatTemplate>,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Option<ChatTemplate>, DataError> {
        let Self::Source(source) = self else { return Ok(model.cloned()) };
        let special_tokens = match model {
            Some(model) => model.special_tokens().clone(),
            None => tokenizer.map(special_tokens).unwrap_or_default(),
        };
        ChatTemplate::new(source, special_tokens).map(Some)
    }
}

/// Names of a tokenizer's special tokens, as templates call them.
fn special_tokens(tokenizer: &Tokenizer) -> Map<String, Value> {
    let roles = tokenizer.token_roles();
    let named =
        [("bos_token", roles.bos), ("eos_token", roles.eos), ("pad_token", roles.pad), ("unk_token", roles.unk)];
    named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), tokenizer.id_to_token(id?).into()))).collect()
}

/// The text of a template file.
#[cfg(feature = "files")]
fn read_template(path: &str) -> Result<String, DataError> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => DataError::PathNotFound { path: path.into(), nearest: None },
        _ => DataError::Io { path: path.into(), action: "read the chat template", reason: error.to_string() },
    })
}

/// Without the feature `files`, there are no files.
#[cfg(not(feature = "files"))]
fn read_template(path: &str) -> Result<String, DataError> {
    let expected = "`chatml`, because this build has no support for files (feature `files`)".into();
    Err(DataError::Config { key: "data.template", found: path.into(), expected })
}
