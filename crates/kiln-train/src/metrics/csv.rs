//! CSV of metrics: `step`, `seconds`, then one column per metric, named as in [`super::scalars`].
//!
//! A step and an evaluation have a line each, with empty cells for the metrics of the other. A value that is not finite is
//! `NaN`. Numbers have as many digits as they need to be read back to the same bits.

use super::{
    MetricsRow,
    log_format::MetricsEncoder,
    scalars::{ScalarReader, Scalars},
};

/// Encoder of the CSV file.
#[derive(Clone, Debug, Default)]
pub struct CsvEncoder {
    reader: ScalarReader,
    /// Names of the metrics, in the order of their first rows.
    columns: Vec<String>,
}

impl MetricsEncoder for CsvEncoder {
    fn encode_file(&mut self, rows: &[MetricsRow]) -> Vec<u8> {
        *self = Self::default();
        let lines: Vec<Scalars> = rows.iter().filter_map(|row| self.reader.read(row)).collect();
        for line in &lines {
            self.add_columns(line);
        }
        let names = ["step", "seconds"].into_iter().chain(self.columns.iter().map(String::as_str));
        let header = names.map(quote).collect::<Vec<_>>().join(",") + "\n";
        lines.iter().fold(header, |text, line| text + &self.line(line)).into_bytes()
    }

    fn encode_row(&mut self, row: &MetricsRow) -> Option<Vec<u8>> {
        let Some(line) = self.reader.read(row) else { return Some(Vec::new()) };
        let is_complete = line.values.iter().all(|(name, _)| self.columns.contains(name));
        is_complete.then(|| self.line(&line).into_bytes())
    }
}

impl CsvEncoder {
    fn add_columns(&mut self, line: &Scalars) {
        for (name, _) in &line.values {
            if !self.columns.contains(name) {
                self.columns.push(name.clone());
            }
        }
    }

    /// A line with its newline; empty for a row without a value.
    fn line(&self, line: &Scalars) -> String {
        if line.values.is_empty() {
            return String::new();
        }
        let cell = |column: &String| {
            let value = line.values.iter().find(|(name, _)| name == column);
            value.map_or(String::new(), |(_, value)| value.to_string())
        };
        let cells = [line.step.to_string(), line.seconds.to_string()].into_iter().chain(self.columns.iter().map(cell));
        cells.collect::<Vec<_>>().join(",") + "\n"
    }
}

/// A cell as RFC 4180 writes it: in quotes if it has a comma, a quote or a line break.
fn quote(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.into() }
}

#[cfg(test)]
mod tests;
