//! Parser of `metrics.jsonl`.
use super::MetricsRow;

/// A line of a metrics file that is not a valid row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected a metrics record, found {found}")]
pub struct MetricsParseError {
    /// The line, from 1.
    pub line: usize,
    /// What the JSON parser found.
    pub found: String,
}

/// The rows of a metrics file, each with its line without the newline.
///
/// Empty lines are skipped, and so is an incomplete last line, which a crash or a running writer can leave.
///
/// # Errors
/// The first other line that is not a valid row.
pub fn parse_lines(bytes: &[u8]) -> Result<Vec<(MetricsRow, &[u8])>, MetricsParseError> {
    let mut rows = Vec::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let content = line.strip_suffix(b"\n");
        match serde_json::from_slice(content.unwrap_or(line)) {
            Ok(row) => rows.push((row, content.unwrap_or(line))),
            Err(_) if content.is_none() => break,
            Err(_) if line.trim_ascii().is_empty() => continue,
            Err(error) => return Err(MetricsParseError { line: index + 1, found: message_without_location(&error) }),
        }
    }
    Ok(rows)
}

/// The rows of a metrics file: see [`parse_lines`].
///
/// # Errors
/// The first line that is not a valid row, unless it is an incomplete last line.
pub fn parse(bytes: &[u8]) -> Result<Vec<MetricsRow>, MetricsParseError> {
    Ok(parse_lines(bytes)?.into_iter().map(|(row, _)| row).collect())
}

/// The message of a JSON error without its location, which counts lines within the one line.
fn message_without_location(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().map_or_else(String::new, str::to_owned)
}
