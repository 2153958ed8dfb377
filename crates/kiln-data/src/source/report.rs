//! Report of a pass over a source: documents by format, bad rows and skipped files.

use crate::example::ExampleFormat;
use std::{collections::BTreeMap, fmt};

/// Maximum number of bad rows or skipped files that a report shows; the others are counted.
const MAX_EXAMPLES: usize = 5;

/// Format of a file with text, recognized by its name and its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileFormat {
    /// One JSON object per line, or JSON objects one after the other.
    JsonLines,
    /// One JSON list of objects or strings.
    JsonArray,
    /// Values between commas (or semicolons), with a header line.
    Csv,
    /// Values between tabs, with a header line.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// The whole file is one document.
    Text,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JsonLines => "JSON lines",
            Self::JsonArray => "JSON array",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Parquet => "Parquet",
            Self::Text => "plain text",
        })
    }
}

/// Rows or files that were left out: their number, and the errors of the first five.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Omissions {
    /// Number of rows or files.
    pub count: u64,
    /// Messages of the first five, each with its file and line.
    pub examples: Vec<String>,
}

impl Omissions {
    /// Counts a row or a file.
    pub(crate) fn add(&mut self, error: &crate::DataError) {
        self.add_message(error);
    }

    /// Adds the rows of another source.
    fn append(&mut self, other: Self) {
        let free = MAX_EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(free));
        self.count += other.count;
    }

    /// Counts a row, with its place and the reason.
    pub(crate) fn add_message(&mut self, message: impl fmt::Display) {
        self.count += 1;
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(message.to_string());
        }
    }
}

/// The examples, one per indented line, and the number of the others.
impl fmt::Display for Omissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for example in &self.examples {
            write!(f, "\n  {example}")?;
        }
        match self.count.saturating_sub(self.examples.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n  and {} more", group_digits(more)),
        }
    }
}

/// Documents, bad rows and skipped files of a pass over a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Number of documents by format and by the field that held their text.
    pub documents: BTreeMap<(FileFormat, Option<String>), u64>,
    /// Rows without valid text that were left out.
    pub bad_rows: Omissions,
    /// Files in folders that were left out, because they hold no text.
    pub skipped_files: Omissions,
    /// The configured field, if it is not the default and no file has fields.
    pub unused_field: Option<String>,
    /// Format of the rows, if they are examples of several fields.
    pub example_format: Option<ExampleFormat>,
    /// Examples that were left out, because nothing in them is trained.
    pub without_answer: Omissions,
}

impl ReadReport {
    /// The report of several sources together.
    pub fn merge(reports: impl IntoIterator<Item = Self>) -> Self {
        let mut reports = reports.into_iter();
        let mut merged = reports.next().unwrap_or_default();
        for report in reports {
            for (key, count) in report.documents {
                *merged.documents.entry(key).or_default() += count;
            }
            merged.bad_rows.append(report.bad_rows);
            merged.skipped_files.append(report.skipped_files);
            merged.without_answer.append(report.without_answer);
            merged.example_format = merged.example_format.filter(|format| report.example_format == Some(*format));
        }
        merged
    }

    /// Number of documents of all formats.
    pub fn num_documents(&self) -> u64 {
        self.documents.values().sum()
    }

    /// Number of documents, field and format: ``12,034 documents, field `text`, JSON lines``. Several formats are listed with
    /// their shares. `None` for a source without files, such as the built-in stories.
    pub fn summary(&self) -> Option<String> {
        let total = match self.example_format {
            Some(format) => format!("{}, format {format}", count(self.num_documents(), "example")),
            None => count(self.num_documents(), "document"),
        };
        let mut formats = self.documents.iter();
        match (formats.next()?, formats.len()) {
            (((format, Some(field)), _), 0) => Some(format!("{total}, field `{field}`, {format}")),
            (((format, None), _), 0) => Some(format!("{total}, {format}")),
            _ => {
                let shares = self.documents.iter().map(|((format, field), count)| {
                    let field = field.as_ref().map(|field| format!(" (field `{field}`)")).unwrap_or_default();
                    format!("{} {format}{field}", group_digits(*count))
                });
                Some(format!("{total}: {}", shares.collect::<Vec<_>>().join(", ")))
            }
        }
    }

    /// Messages for people: the [`summary`](Self::summary); then bad rows and files that were left out, with the first of
    /// them; then a field that no file has. Empty for a source without files.
    pub fn messages(&self) -> Vec<String> {
        let mut messages = Vec::from_iter(self.summary());
        for (omitted, one, many) in [
            (&self.bad_rows, "bad row", "bad rows"),
            (&self.skipped_files, "file without text", "files without text"),
            (&self.without_answer, "example without an answer", "examples without an answer"),
        ] {
            let kind = if omitted.count == 1 { one } else { many };
            if omitted.count > 0 {
                messages.push(format!("skipped {} {kind}:{omitted}", group_digits(omitted.count)));
            }
        }
        messages.extend(
            self.unused_field
                .as_ref()
                .map(|field| format!("warning: the field `{field}` is not used, because no file has rows with fields")),
        );
        messages
    }
}

/// `1 document`, `12,034 documents`.
fn count(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", group_digits(count), if count == 1 { "" } else { "s" })
}

/// A number with a comma between groups of three digits.
pub(crate) fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_documents_field_and_format() {
        let mut report = ReadReport::default();
        assert_eq!(report.summary(), None);
        report.documents.insert((FileFormat::JsonLines, Some("text".into())), 12034);
        assert_eq!(report.summary().unwrap(), "12,034 documents, field `text`, JSON lines");
        report.documents.insert((FileFormat::Text, None), 1);
        assert_eq!(report.summary().unwrap(), "12,035 documents: 12,034 JSON lines (field `text`), 1 plain text");
        report.documents.remove(&(FileFormat::JsonLines, Some("text".into())));
        assert_eq!(report.summary().unwrap(), "1 document, plain text");
    }

    #[test]
    fn omissions_are_counted_and_the_first_are_shown() {
        let mut report = ReadReport::default();
        assert_eq!(report.messages(), [""; 0]);
        for line in 1..=1007 {
            let reason = "broken".into();
            report.bad_rows.add(&crate::DataError::InvalidCsvRow { path: "a.csv".into(), line, reason });
        }
        let message = report.messages().remove(0);
        assert!(message.starts_with("skipped 1,007 bad rows:\n  a.csv:1: "), "{message}");
        assert!(message.ends_with("a.csv:5: broken\n  and 1,002 more"), "{message}");
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1234567].map(group_digits), ["0", "999", "1,000", "1,234,567"]);
    }
}
