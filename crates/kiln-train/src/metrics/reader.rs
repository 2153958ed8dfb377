//! From the bytes of `metrics.jsonl` to rows.
use super::MetricsRow;

/// A line that is no row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected a line of metrics, found {found}")]
pub struct MetricsParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub found: String,
}

/// The rows of `bytes`, each with the line that it was read from.
///
/// A last line that has no end and is no row was cut short by a crash, and is left out. Any other line that is no row is an error.
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

/// The rows of `bytes`: see [`lines`].
pub fn parse(bytes: &[u8]) -> Result<Vec<MetricsRow>, MetricsParseError> {
    Ok(parse_lines(bytes)?.into_iter().map(|(row, _)| row).collect())
}

/// The parser counts lines within the one it was given.
fn message_without_location(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().map_or_else(String::new, str::to_owned)
}
