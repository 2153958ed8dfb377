//! Texts with classes: `text` and `label`.

use super::{
    FieldSample, FormatEntry,
    value::{Row, RowProblem, required, required_text, type_name},
};
use crate::example::{Example, ExampleFormat, ExampleKind};
use serde_json::Value;

pub(super) const FORMAT: FormatEntry = FormatEntry {
    format: ExampleFormat::Labeled,
    kind: ExampleKind::Labeled,
    fields: "`text`, `label`",
    columns: &["text", "label"],
    matches,
    convert,
};

fn matches(sample: &FieldSample) -> bool {
    sample.has_all(&["text", "label"])
}

fn convert(row: &Row) -> Result<Example, RowProblem> {
    let label = match required(row, "label")? {
        Value::String(label) => label.clone(),
        value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
        other => {
            let reason = format!("field `label` is {}, expected a string or a number", type_name(other));
            return Err(RowProblem::new(reason, "write the class of each text"));
        }
    };
    Ok(Example::Labeled { text: required_text(row, "text")?, label })
}
