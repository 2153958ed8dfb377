//! Rows of a cache: one entry for each key, in pages shared by rows until one of them writes.

use super::{Columns, RowHistory};
use kiln_kernels::attention::paged::PageTable;
use kiln_spec::{pages::PAGE_SIZE, plan::CachePolicy};
use std::{collections::HashSet, ops::Range, sync::Arc};

/// Pages of type T of each row, the keys that a policy keeps.
///
/// A page is dropped when it holds no key that a later token can see, nor one that a row needs after it went back to a
/// snapshot.
#[derive(Clone, Debug)]
pub struct CacheRows<T> {
    policy: CachePolicy,
    rows: Vec<CacheRow<T>>,
}

/// Pages of one row.
#[derive(Clone, Debug)]
struct CacheRow<T> {
    history: RowHistory,
    pages: PageTable<T>,
}

impl<T> Default for CacheRow<T> {
    fn default() -> Self {
        Self { history: RowHistory::default(), pages: PageTable::default() }
    }
}

impl<T> CacheRow<T> {
    /// Whether all pages are present that a row of `length` keys needs.
    fn has_pages_for(&self, policy: CachePolicy, length: usize) -> bool {
        (0..length.div_ceil(PAGE_SIZE)).all(|page| !needs_page(policy, page, length) || self.pages.get(page).is_some())
    }

    /// See [`Stateful::rewind_distance`](super::super::Stateful::rewind_distance).
    fn rewind_distance(&self, policy: CachePolicy, count: usize) -> Option<usize> {
        let target = self.history.length().checked_sub(count)?;
        if self.has_pages_for(policy, target) {
            return Some(count);
        }
        let distance = self.history.snapshot_distance(count)?;
        self.has_pages_for(policy, self.history.length() - distance).then_some(distance)
    }
}

/// Whether a row of `length` keys needs a page: for its keys, or because the next key goes into it.
fn needs_page(policy: CachePolicy, page: usize, length: usize) -> bool {
    policy.keeps_page(page, length) || (page == length / PAGE_SIZE && !length.is_multiple_of(PAGE_SIZE))
}

/// Tokens of a call that go into one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRun {
    /// The row.
    pub row: usize,
    /// Index of the first token within the row's tokens of the call.
    pub first_token: usize,
    /// Slots of the page that the tokens go to.
    pub slots: Range<usize>,
}

impl<T: Clone> CacheRows<T> {
    /// Returns the rows of a cache before their first key.
    pub fn new(policy: CachePolicy, rows: usize) -> Self {
        Self { policy, rows: vec![CacheRow::default(); rows] }
    }

    /// Returns the number of rows.
    pub fn num_rows(&self) -> usize {
        self.rows.len()
    }

    /// Returns the policy.
    pub fn policy(&self) -> CachePolicy {
        self.policy
    }

    /// Returns the pages of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn pages(&self, row: usize) -> &PageTable<T> {
        &self.rows[row].pages
    }

    /// Returns the number of different pages: one that rows share counts once.
    pub fn num_pages(&self) -> usize {
        let pages = self.rows.iter().flat_map(|row| row.pages.iter().map(|(_, page)| Arc::as_ptr(page)));
        pages.collect::<HashSet<_>>().len()
    }

    /// Appends `counts[i]` keys to row i. `write` fills the slots of a page, which is new (from `init`), the row's own, or a
    /// copy of one that other rows share.
    pub fn push(&mut self, counts: &[usize], init: impl Fn() -> T, mut write: impl FnMut(&mut T, KeyRun)) {
        for (index, (row, count)) in self.rows.iter_mut().zip(counts).enumerate() {
            let start = row.history.length();
            let (mut key, end) = (start, start + count);
            while key < end {
                let page = key / PAGE_SIZE;
                let next = ((page + 1) * PAGE_SIZE).min(end);
                let first = key - page * PAGE_SIZE;
                let run = KeyRun { row: index, first_token: key - start, slots: first..first + next - key };
                write(row.pages.make_mut(page, &init), run);
                key = next;
            }
            row.history.advance(*count);
        }
    }

    /// Drops the pages that nothing needs.
    pub fn drop_unneeded(&mut self) {
        let policy = self.policy;
        if policy == CachePolicy::All {
            return;
        }
        for row in &mut self.rows {
            let history = &row.history;
            let lengths = || history.snapshots().iter().copied().chain([history.length()]);
            row.pages.retain(|page| lengths().any(|length| needs_page(policy, page, length)));
        }
    }

    /// Returns the columns of the rows' keys side by side.
    pub fn columns(&self) -> Columns {
        let mut pages: Vec<usize> =
            self.rows.iter().flat_map(|row| row.pages.iter().map(|(number, _)| number)).collect();
        pages.sort_unstable();
        pages.dedup();
        Columns { pages, lengths: self.rows.iter().map(|row| row.history.length()).collect() }
    }

    /// Returns the rows of the given indices, which share their pages with these.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { policy: self.policy, rows: rows.iter().map(|row| self.rows[*row].clone()).collect() }
    }

    /// Appends the rows of another cache.
    pub fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    /// Appends rows before their first key.
    pub fn append_empty(&mut self, rows: usize) {
        self.rows.resize_with(self.rows.len() + rows, CacheRow::default);
    }

    /// See [`Stateful::rewind_distance`](super::super::Stateful::rewind_distance).
    pub fn rewind_distance(&self, row: usize, count: usize) -> Option<usize> {
        self.rows[row].rewind_distance(self.policy, count)
    }

    /// Removes the last `counts[i]` keys of row i. `cut` removes the slots from a number on in a page that stays in part.
    pub fn truncate(&mut self, counts: &[usize], init: impl Fn() -> T, cut: impl Fn(&mut T, usize)) {
        for (row, count) in self.rows.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
            row.history.truncate(*count);
            let length = row.history.length();
            row.pages.truncate(length);
            let last = length / PAGE_SIZE;
            if row.pages.get(last).is_some() {
                cut(row.pages.make_mut(last, &init), length % PAGE_SIZE);
            }
        }
    }

    /// [`truncate`](Self::truncate) for pages whose slots behind the row's end are never read: no page is copied.
    pub fn truncate_lengths(&mut self, counts: &[usize]) {
        for (row, count) in self.rows.iter_mut().zip(counts) {
            row.history.truncate(*count);
            row.pages.truncate(row.history.length());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of key numbers.
    fn push(rows: &mut CacheRows<Vec<usize>>, counts: &[usize]) {
        let starts = rows.columns().lengths().to_vec();
        rows.push(counts, Vec::new, |page, run| {
            page.truncate(run.slots.start);
            page.extend((0..run.slots.len()).map(|i| starts[run.row] + run.first_token + i));
        });
        rows.drop_unneeded();
    }

    fn keys(rows: &CacheRows<Vec<usize>>, row: usize) -> Vec<usize> {
        rows.pages(row).iter().flat_map(|(_, page)| page.to_vec()).collect()
    }

    #[test]
    fn forks_share_pages_until_they_write() {
        let mut rows = CacheRows::new(CachePolicy::All, 1);
        push(&mut rows, &[130]);
        let mut fork = rows.select(&[0, 0]);
        assert_eq!((fork.num_pages(), fork.num_rows()), (3, 2));
        push(&mut fork, &[0, 5]);
        assert_eq!(fork.num_pages(), 4);
        assert_eq!([keys(&fork, 0).len(), keys(&fork, 1).len(), keys(&rows, 0).len()], [130, 135, 130]);
        fork.truncate(&[67, 0], Vec::new, |page, slot| page.truncate(slot));
        assert_eq!(
            [keys(&fork, 0), keys(&fork, 1), keys(&rows, 0)],
            [63, 135, 130].map(|n| (0..n).collect::<Vec<_>>())
        );
    }

    #[test]
    fn windows_drop_pages_and_go_back_to_snapshots() {
        let mut rows = CacheRows::new(CachePolicy::Last(5), 1);
        push(&mut rows, &[300]);
        (0..400).for_each(|_| push(&mut rows, &[1]));
        // 295 to 299 for the snapshot at 300, 551 to 555 for the one at 556, 695 to 699 for the row's end.
        assert_eq!(rows.pages(0).iter().map(|(page, _)| page).collect::<Vec<_>>(), [4, 8, 10]);
        let distances = [0, 40, 100, 144, 145, 400, 500, 700].map(|count| rows.rewind_distance(0, count));
        assert_eq!(distances.map(|d| d.unwrap_or(usize::MAX)), [0, 40, 144, 144, 145, 400, usize::MAX, 700]);
        rows.truncate(&[144], Vec::new, |page, slot| page.truncate(slot));
        assert_eq!(keys(&rows, 0), (256..320).chain(512..556).collect::<Vec<_>>());
    }
}
