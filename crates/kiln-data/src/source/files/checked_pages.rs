//! Validation of Parquet page order: a dictionary page must precede the pages that refer to it.
//!
//! The decoder of the `parquet` crate panics otherwise. Damaged and malicious files must give an error.

use parquet::{
    basic::Encoding,
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result},
};

/// Page reader that returns an error for a dictionary-encoded page without a preceding dictionary page.
pub(super) struct CheckedPages {
    inner: Box<dyn PageReader>,
    has_dictionary: bool,
}

impl CheckedPages {
    /// Wraps the page reader of one column chunk.
    pub fn new(inner: Box<dyn PageReader>) -> Self {
        Self { inner, has_dictionary: false }
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        if let Some(page) = &page {
            let needs_dictionary = matches!(page.encoding(), Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
            match page {
                Page::DictionaryPage { .. } => self.has_dictionary = true,
                _ if needs_dictionary && !self.has_dictionary => {
                    return Err(ParquetError::General("a page refers to a missing dictionary".into()));
                }
                _ => {}
            }
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
