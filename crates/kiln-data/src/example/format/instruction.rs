//! Alpaca's format: `instruction`, `input` and `output`.
//!
//! A row is a chat of two messages, because that is how a model with a chat template is asked: the user's message is the
//! instruction and, after an empty line, the input. For a model without a template, the encoder writes the layout of the
//! Stanford Alpaca prompts instead ([`alpaca_prompt`]).

use super::{
    FieldSample, FormatEntry,
    value::{Row, RowProblem, optional, required_text, text_of},
};
use crate::{
    chat::chat_message,
    example::{ChatVariables, Example, ExampleFormat, ExampleKind},
};
use serde_json::Value;

pub(super) const FORMAT: FormatEntry = FormatEntry {
    format: ExampleFormat::Instruction,
    kind: ExampleKind::Chat,
    fields: "`instruction`, `output`, and mostly `input`",
    columns: &["instruction", "input", "output", "context", "response", "system"],
    matches,
    convert,
};

/// Names of the column with the answer, and of that with the input.
const ANSWER_COLUMNS: [&str; 2] = ["output", "response"];
const INPUT_COLUMNS: [&str; 2] = ["input", "context"];

fn matches(sample: &FieldSample) -> bool {
    sample.has_all(&["instruction"]) && ANSWER_COLUMNS.iter().any(|column| sample.has_all(&[column]))
}

fn convert(row: &Row) -> Result<Example, RowProblem> {
    let answer = ANSWER_COLUMNS.into_iter().find(|column| row.contains_key(*column)).unwrap_or(ANSWER_COLUMNS[0]);
    let mut question = required_text(row, "instruction")?;
    let input = INPUT_COLUMNS.iter().find_map(|column| Some((optional(row, column)?, column)));
    if let Some((input, column)) = input {
        question = format!("{question}\n\n{}", text_of(input, column)?);
    }
    let mut messages = Vec::with_capacity(3);
    if let Some(system) = optional(row, "system") {
        messages.push(chat_message("system", &text_of(system, "system")?));
    }
    messages.extend([chat_message("user", &question), chat_message("assistant", &required_text(row, answer)?)]);
    Ok(Example::Chat { messages, variables: ChatVariables::default() })
}

/// The prompt and the completion of a chat of this format, for a model without a chat template: the layout of Stanford
/// Alpaca, with the input within the instruction.
pub(crate) fn alpaca_prompt(messages: &[Value]) -> (String, String) {
    let content = |role: &str| {
        let message = messages.iter().find(|message| message["role"] == role);
        message.and_then(|message| message["content"].as_str()).map(str::to_owned)
    };
    let introduction = "Below is an instruction that describes a task. Write a response that appropriately completes the \
                        request.";
    let introduction = content("system").unwrap_or_else(|| introduction.into());
    let instruction = content("user").unwrap_or_default();
    let prompt = format!("{introduction}\n\n### Instruction:\n{instruction}\n\n### Response:\n");
    (prompt, content("assistant").unwrap_or_default())
}
