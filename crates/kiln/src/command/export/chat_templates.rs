//! The chat templates of a model as its files have them: unchanged, by name.

use super::{
    super::error::CliError,
    export_error,
    source_files::{CHAT_TEMPLATE_FILE, CHAT_TEMPLATES_FOLDER, Files},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of the settings of a tokenizer.
pub(super) const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
/// The template that a conversation without tools uses.
pub(super) const DEFAULT_TEMPLATE: &str = "default";

/// Returns the chat templates of the files of a folder. The default template is `chat_template.jinja`, else that of
/// `chat_template.json`, else that of `tokenizer_config.json`, as in `transformers`.
///
/// # Errors
/// If a file is not JSON, or a template is not UTF-8.
pub(super) fn chat_templates(files: &Files) -> Result<BTreeMap<String, String>, CliError> {
    let mut templates = BTreeMap::new();
    for file in [TOKENIZER_CONFIG_FILE, "chat_template.json"] {
        let Some(bytes) = files.get(file) else { continue };
        let json: Value = serde_json::from_slice(bytes).map_err(|error| export_error(format!("{file}: {error}")))?;
        templates.extend(templates_of_json(&json["chat_template"]));
    }
    for (file, bytes) in files {
        let named =
            file.strip_prefix(CHAT_TEMPLATES_FOLDER).and_then(|name| name.strip_prefix('/')?.strip_suffix(".jinja"));
        let name = if file == CHAT_TEMPLATE_FILE { Some(DEFAULT_TEMPLATE) } else { named };
        let Some(name) = name else { continue };
        let text = std::str::from_utf8(bytes).map_err(|error| export_error(format!("{file}: {error}")))?;
        templates.insert(name.into(), text.into());
    }
    Ok(templates)
}

/// The value of `chat_template`: a template, or a list of objects with `name` and `template`.
pub(super) fn templates_of_json(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let named = |entry: &Value| Some((text(&entry["name"])?, text(&entry["template"])?));
    match value {
        Value::String(template) => vec![(DEFAULT_TEMPLATE.into(), template.clone())],
        other => other.as_array().into_iter().flatten().filter_map(named).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let files = files.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).collect();
        chat_templates(&files).unwrap().into_iter().collect()
    }

    #[test]
    fn a_file_of_its_own_precedes_the_settings() {
        let pair = |name: &str, text: &str| (name.to_string(), text.to_string());
        let config = (TOKENIZER_CONFIG_FILE, r#"{"chat_template": "A"}"#);
        assert_eq!(templates(&[config]), [pair("default", "A")]);
        assert_eq!(templates(&[config, (CHAT_TEMPLATE_FILE, "B")]), [pair("default", "B")]);
        assert_eq!(templates(&[config, ("chat_template.json", r#"{"chat_template": "C"}"#)]), [pair("default", "C")]);
        let list = r#"{"chat_template": [{"name": "default", "template": "D"}, {"name": "rag", "template": "E"}]}"#;
        let folder = ("additional_chat_templates/tool_use.jinja", "F");
        let found = templates(&[(TOKENIZER_CONFIG_FILE, list), folder, ("tokenizer.json", "{}")]);
        assert_eq!(found, [pair("default", "D"), pair("rag", "E"), pair("tool_use", "F")]);
        assert!(templates(&[]).is_empty());
    }
}
