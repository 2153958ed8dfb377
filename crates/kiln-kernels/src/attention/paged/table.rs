//! Page table: the pages of one row, shared with other rows until they are written.

use kiln_spec::pages::PAGE_SIZE;
use std::sync::Arc;

/// Pages of one row by page number; a page that was dropped, or never written, is absent. Clones share all pages.
///
/// Memory of the table itself: one pointer for each page, absent ones included.
#[derive(Clone, Debug)]
pub struct PageTable<T> {
    pages: Vec<Option<Arc<T>>>,
}

impl<T> Default for PageTable<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> PageTable<T> {
    /// Returns a page; `None` if it is absent.
    pub fn get(&self, number: usize) -> Option<&T> {
        self.pages.get(number)?.as_deref()
    }

    /// Returns the pages that are present, with their numbers in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &Arc<T>)> {
        self.pages.iter().enumerate().filter_map(|(number, page)| Some((number, page.as_ref()?)))
    }

    /// Drops the pages for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        for (number, page) in self.pages.iter_mut().enumerate() {
            if page.is_some() && !keep(number) {
                *page = None;
            }
        }
    }

    /// Drops the pages that hold none of the first `length` keys.
    pub fn truncate(&mut self, length: usize) {
        self.pages.truncate(length.div_ceil(PAGE_SIZE));
    }
}

impl<T: Clone> PageTable<T> {
    /// Returns a page for writing: a new one from `init` if it is absent, a copy if other rows share it.
    pub fn make_mut(&mut self, number: usize, init: impl FnOnce() -> T) -> &mut T {
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        Arc::make_mut(self.pages[number].get_or_insert_with(|| Arc::new(init())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_page_is_copied_when_it_is_written() {
        let mut table: PageTable<u32> = PageTable::default();
        for number in [0, 2] {
            *table.make_mut(number, || 7) += number as u32;
        }
        let mut fork = table.clone();
        *fork.make_mut(2, || 0) = 1;
        assert_eq!((table.get(2), fork.get(2), table.get(1), table.get(5)), (Some(&9), Some(&1), None, None));
        let shared: Vec<bool> = table.iter().zip(fork.iter()).map(|(a, b)| Arc::ptr_eq(a.1, b.1)).collect();
        assert_eq!(shared, [true, false]);
        fork.retain(|number| number == 2);
        table.truncate(2 * PAGE_SIZE);
        assert_eq!(fork.iter().map(|(number, _)| number).collect::<Vec<_>>(), [2]);
        assert_eq!(table.iter().map(|(number, _)| number).collect::<Vec<_>>(), [0]);
    }
}
