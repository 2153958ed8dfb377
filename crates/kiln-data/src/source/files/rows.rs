//! Rows of a file as documents.

use crate::{
    DataError,
    source::{Document, document_parts},
};

/// Row of a file: the text of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub text: String,
    /// Number of the line or row, from 1.
    pub number: u64,
}

/// Iterator over the rows of a file. After an error for a bad row ([`DataError::is_bad_row`]) it continues with the next row.
pub(super) type Rows = Box<dyn Iterator<Item = Result<Row, DataError>> + Send>;

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
                    self.pending = document_parts(&row.text, origin).collect::<Vec<_>>().into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
