//! JSON that the chat reads and writes: tools, documents, variables of the template, and the saved conversation.

use crate::command::error::CliError;
use serde_json::{Map, Value};
use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

/// The objects of a JSON file, which has a list of them. `flag` names the option for the help text.
pub fn read_objects(path: &Path, flag: &str) -> Result<Vec<Value>, CliError> {
    let failed = |message: String| CliError::usage(message).with_location(format!("{flag} {}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| failed(format!("cannot read the file: {error}")))?;
    let json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| failed(format!("the file is not valid JSON: {error}")))?;
    let items = match json {
        Value::Array(items) => items,
        other => return Err(failed(format!("the file has {}, expected a list of objects", kind(&other)))),
    };
    match items.iter().position(|item| !item.is_object()) {
        Some(index) => {
            let found = kind(&items[index]);
            Err(failed(format!("item {index} of the list is {found}, expected an object")))
        }
        None => Ok(items),
    }
}

/// The variables of `--chat-template-kwargs`.
pub fn read_template_kwargs(json: Option<&str>) -> Result<Map<String, Value>, CliError> {
    let Some(json) = json else { return Ok(Map::new()) };
    let failed = |message: String| CliError::usage(message).with_location("--chat-template-kwargs");
    match serde_json::from_str(json).map_err(|error| failed(format!("the value is not valid JSON: {error}")))? {
        Value::Object(kwargs) => {
            match ["messages", "tools", "documents"].iter().find(|name| kwargs.contains_key(**name)) {
                Some(name) => Err(failed(format!("`{name}` cannot be set here; see --tools and --documents"))),
                None => Ok(kwargs),
            }
        }
        other => Err(failed(format!("the value is {}, expected an object: {{\"NAME\":VALUE}}", kind(&other)))),
    }
}

/// Writes messages to a new file. An existing file is not changed.
pub fn save_messages(path: &Path, messages: &[Value]) -> Result<(), CliError> {
    let mut file = File::create_new(path).map_err(|error| {
        let failed = match error.kind() {
            ErrorKind::AlreadyExists => CliError::failed("io", "the file exists and is not overwritten")
                .with_help("choose another name, or remove the file first"),
            _ => CliError::failed("io", format!("cannot create the file: {error}")),
        };
        failed.with_location(format!("/save {}", path.display()))
    })?;
    let text = format!("{:#}\n", Value::from(messages));
    file.write_all(text.as_bytes()).map_err(|error| {
        CliError::failed("io", format!("cannot write the file: {error}")).with_location(path.display().to_string())
    })
}

fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
