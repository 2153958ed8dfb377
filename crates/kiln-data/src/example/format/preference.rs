//! Preferences: `prompt`, `chosen` and `rejected`, texts or lists of messages, as in TRL.
//!
//! Without a prompt of the same type, the prompt is the common beginning of both answers: whole messages of two
//! conversations, or the characters of two texts up to the first difference, without a space before it.

use super::{
    FieldSample, FormatEntry,
    value::{Row, RowProblem, chat_variables, optional, required, required_turns},
};
use crate::example::{Example, ExampleFormat, ExampleKind, Turns};

pub(super) const FORMAT: FormatEntry = FormatEntry {
    format: ExampleFormat::Preference,
    kind: ExampleKind::Preference,
    fields: "`chosen`, `rejected`, and mostly `prompt`",
    columns: &["prompt", "chosen", "rejected", "tools", "chat_template_kwargs"],
    matches,
    convert,
};

/// Help for a row that is no pair.
const WRITE_PAIR: &str = "write two different answers to one prompt in each row, or leave the row out";

fn matches(sample: &FieldSample) -> bool {
    sample.has_all(&["chosen", "rejected"])
}

fn convert(row: &Row) -> Result<Example, RowProblem> {
    let answer = |field: &str| {
        let turns = required(row, field).and_then(|_| required_turns(row, field));
        let turns = turns.map_err(|problem| RowProblem { help: WRITE_PAIR, ..problem })?;
        if turns.is_empty() {
            return Err(RowProblem::new(format!("field `{field}` is empty: a preference needs its pair"), WRITE_PAIR));
        }
        Ok(turns)
    };
    let (chosen, rejected) = (answer("chosen")?, answer("rejected")?);
    if chosen == rejected {
        return Err(RowProblem::new("`chosen` and `rejected` are the same", WRITE_PAIR));
    }
    let prompt = match optional(row, "prompt") {
        Some(_) => Some(required_turns(row, "prompt")?),
        None => None,
    };
    let (prompt, chosen, rejected) = match (prompt, chosen, rejected) {
        (Some(Turns::Text(prompt)), Turns::Text(chosen), Turns::Text(rejected)) => {
            (Turns::Text(prompt), Turns::Text(chosen), Turns::Text(rejected))
        }
        (Some(Turns::Messages(prompt)), Turns::Messages(chosen), Turns::Messages(rejected)) => {
            (Turns::Messages(prompt), Turns::Messages(chosen), Turns::Messages(rejected))
        }
        // A text beside two conversations repeats their first message.
        (_, Turns::Messages(chosen), Turns::Messages(rejected)) => split_messages(chosen, rejected),
        (None, Turns::Text(chosen), Turns::Text(rejected)) => split_texts(&chosen, &rejected),
        _ => {
            let reason = "`chosen` and `rejected` are a text and a list of messages, expected two of the same type";
            return Err(RowProblem::new(reason, "write all answers as texts, or all as lists of messages"));
        }
    };
    if chosen.is_empty() || rejected.is_empty() {
        let reason = "one of `chosen` and `rejected` is the beginning of the other, so that nothing is left of it";
        return Err(RowProblem::new(reason, WRITE_PAIR));
    }
    Ok(Example::Preference { prompt, chosen, rejected, variables: chat_variables(row)? })
}

/// The common messages of two conversations, and the rest of each.
fn split_messages(mut chosen: Vec<serde_json::Value>, mut rejected: Vec<serde_json::Value>) -> (Turns, Turns, Turns) {
    let common = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
    let (chosen_rest, rejected_rest) = (chosen.split_off(common), rejected.split_off(common));
    (Turns::Messages(chosen), Turns::Messages(chosen_rest), Turns::Messages(rejected_rest))
}

/// The common beginning of two texts without a space at its end, and the rest of each.
fn split_texts(chosen: &str, rejected: &str) -> (Turns, Turns, Turns) {
    let same = chosen.char_indices().zip(rejected.chars()).take_while(|((_, a), b)| a == b);
    let end = same.last().map_or(0, |((at, c), _)| at + c.len_utf8());
    let end = if chosen[..end].ends_with(' ') { end - 1 } else { end };
    (Turns::Text(chosen[..end].into()), Turns::Text(chosen[end..].into()), Turns::Text(rejected[end..].into()))
}
