//! Rows of a file as documents.

use crate::{
    DataError,
    source::{Document, document_parts},
};

/// Row of a file: the text of a document, or all fields of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row<V = String> {
    pub value: V,
    /// Number of the line or row, from 1.
    pub number: u64,
}

/// Fields of a row by name, in the order of the file.
pub(crate) type Fields = serde_json::Map<String, serde_json::Value>;

/// Iterator over the rows of a file. After an error for a bad row ([`DataError::is_bad_row`]) it continues with the next row.
pub(crate) type Rows<V = String> = Box<dyn Iterator<Item = Result<Row<V>, DataError>> + Send>;

/// Parser of the rows of one JSON file: what a row gives.
pub(super) trait ParseRow {
    /// Text of the row, or its fields.
    type Value;

    /// The value of a row. `number` is its line or row number, `offset` the position of `json` in the file.
    ///
    /// # Errors
    /// Errors for bad rows ([`DataError::is_bad_row`]) only.
    fn parse(&self, json: &[u8], number: u64, offset: u64) -> Result<Self::Value, DataError>;
}

/// Iterator over the documents of a file with rows. Rows with an empty text give no document.
pub(super) struct RowDocuments {
    rows: Rows,
    path: String,
    /// Parts of the current row's text that were not returned yet.
    pending: std::vec::IntoIter<Document>,
}

impl RowDocuments {
    /// Documents of the rows of the file `path`.
    pub fn new(path: &str, rows: Rows) -> Self {
        Self { rows, path: path.into(), pending: Vec::new().into_iter() }
    }
}

impl Iterator for RowDocuments {
    type Item = Result<Document, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(document) = self.pending.next() {
                return Some(Ok(document));
            }
            match self.rows.next()? {
                Ok(row) => {
                    let origin = format!("{}:{}", self.path, row.number);
                    self.pending = document_parts(&row.value, origin).collect::<Vec<_>>().into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
