//! Pages of a column in the order that they must have: the library counts on a dictionary before what refers to it.

use parquet::{
    basic::Encoding,
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result},
};

/// Hands pages on, and ends where one refers to a dictionary that never came.
pub(super) struct CheckedPages {
    inner: Box<dyn PageReader>,
    has_dictionary: bool,
}

impl CheckedPages {
    pub fn new(inner: Box<dyn PageReader>) -> Self {
        Self { inner, has_dictionary: false }
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        if let Some(page) = &page {
            let refers = matches!(page.encoding(), Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
            match page {
                Page::DictionaryPage { .. } => self.has_dictionary = true,
                _ if refers && !self.has_dictionary => {
                    return Err(ParquetError::General("a page refers to a dictionary that isn't there".into()));
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
