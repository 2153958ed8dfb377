//! Pairs of texts, as in sentence-transformers: a text, one that belongs to it, and texts that do not.

use super::{
    FieldSample, FormatEntry,
    value::{Row, RowProblem, optional, parsed, required_text, text_of},
};
use crate::example::{Example, ExampleFormat, ExampleKind};
use serde_json::Value;

pub(super) const FORMAT: FormatEntry = FormatEntry {
    format: ExampleFormat::Pairs,
    kind: ExampleKind::Pair,
    fields: "two texts: `anchor`, `positive`; `query`, `positive`; `sentence1`, `sentence2`; or `question`, `answer`; and \
             perhaps `negative`",
    columns: &[
        "anchor",
        "positive",
        "negative",
        "negatives",
        "query",
        "sentence1",
        "sentence2",
        "question",
        "answer",
        "negative_1",
        "negative_2",
        "negative_3",
        "negative_4",
        "negative_5",
        "negative_6",
        "negative_7",
        "negative_8",
        "negative_9",
        "label",
        "score",
    ],
    matches,
    convert,
};

/// Names of the two columns.
const COLUMNS: [(&str, &str); 4] =
    [("anchor", "positive"), ("query", "positive"), ("sentence1", "sentence2"), ("question", "answer")];
/// Most columns `negative_1`, `negative_2`, … that are read.
const MAX_NEGATIVE_COLUMNS: usize = 9;
/// Columns that say how well two sentences belong together. Such pairs are not all positive.
const DEGREES: [&str; 2] = ["label", "score"];

fn matches(sample: &FieldSample) -> bool {
    let names = |(first, second): &(&str, &str)| sample.has_all(&[*first, *second]);
    let has_degree = DEGREES.iter().any(|column| sample.has_all(&[column]));
    COLUMNS.iter().any(|columns| names(columns) && !(columns.0 == "sentence1" && has_degree))
}

fn convert(row: &Row) -> Result<Example, RowProblem> {
    let is_present = |(first, second): &(&str, &str)| row.contains_key(*first) && row.contains_key(*second);
    let (first, second) = COLUMNS.into_iter().find(is_present).unwrap_or(COLUMNS[0]);
    let text = |field: &str| {
        let text = required_text(row, field)?;
        if text.trim().is_empty() {
            let help = "write two texts that belong together in each row, or leave the row out";
            return Err(RowProblem::new(format!("field `{field}` is empty: a pair needs two texts"), help));
        }
        Ok(text)
    };
    Ok(Example::Pair { anchor: text(first)?, positive: text(second)?, negatives: negatives(row)? })
}

/// The texts of `negative`, `negatives` and `negative_1`, `negative_2`, …, each a text or a list of texts.
fn negatives(row: &Row) -> Result<Vec<String>, RowProblem> {
    let numbered = (1..=MAX_NEGATIVE_COLUMNS).map(|number| format!("negative_{number}"));
    let mut texts = Vec::new();
    for column in ["negative".to_owned(), "negatives".to_owned()].into_iter().chain(numbered) {
        let Some(value) = optional(row, &column) else { continue };
        match parsed(value) {
            Value::Array(items) if value.is_array() || items.iter().all(Value::is_string) => {
                texts.extend(items.iter().map(|item| text_of(item, &column)).collect::<Result<Vec<_>, _>>()?);
            }
            _ => texts.push(text_of(value, &column)?),
        }
    }
    Ok(texts)
}
