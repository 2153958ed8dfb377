//! Prompts with completions: `prompt` and `completion`, texts or lists of messages, as in TRL.

use super::{
    FieldSample, FormatEntry,
    value::{Row, RowProblem, chat_variables, required_turns},
};
use crate::example::{Example, ExampleFormat, ExampleKind, Turns};

pub(super) const FORMAT: FormatEntry = FormatEntry {
    format: ExampleFormat::PromptCompletion,
    kind: ExampleKind::PromptCompletion,
    fields: "`prompt`, `completion`",
    columns: &["prompt", "completion", "tools", "chat_template_kwargs"],
    matches,
    convert,
};

fn matches(sample: &FieldSample) -> bool {
    sample.has_all(&["prompt", "completion"])
}

fn convert(row: &Row) -> Result<Example, RowProblem> {
    let (prompt, completion) = (required_turns(row, "prompt")?, required_turns(row, "completion")?);
    if matches!(prompt, Turns::Text(_)) != matches!(completion, Turns::Text(_)) {
        let reason = "`prompt` and `completion` are a text and a list of messages, expected two of the same type";
        return Err(RowProblem::new(reason, "write both as texts, or both as lists of messages"));
    }
    Ok(Example::PromptCompletion { prompt, completion, variables: chat_variables(row)? })
}
