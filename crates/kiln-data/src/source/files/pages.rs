//! Pages of a column in the order that they must have: the library counts on a dictionary before what refers to it.

use parquet::{
    basic::Encoding,
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result},
};

/// Hands pages on, and ends where one refers to a dictionary that never came.
pub(super) struct Pages {
    inner: Box<dyn PageReader>,
    dictionary: bool,
}

impl Pages {
    pub fn new(inner: Box<dyn PageReader>) -> Self {
        Self { inner, dictionary: false }
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        if let Some(page) = &page {
            let refers = matches!(page.encoding(), Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
            match page {
                Page::DictionaryPage { .. } => self.dictionary = true,
                _ if refers && !self.dictionary => {
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

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
