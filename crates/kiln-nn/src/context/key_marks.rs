//! Token marks of cached keys, in pages, and the pages that a query sees.

use super::{
    rows::{CacheRows, Columns, Incompatible, RowTensors},
    token_marks::TokenMarks,
};
use burn::tensor::{Device, Int, Tensor};
use kiln_spec::{
    Formula, Layout, TokenMark,
    formula::MarkField,
    pages::{MarkPage, PAGE_SIZE},
    plan::CachePolicy,
};

/// Marks of the keys of each row that a policy keeps.
#[derive(Clone, Debug)]
pub struct KeyMarks {
    rows: CacheRows<MarkPage>,
    /// 1 for each column of a key that takes part, `[B, S]`; absent if all do. Under mixture of depths the host doesn't know
    /// which tokens a block reads.
    members: Option<Tensor<2, Int>>,
}

/// Pages of one row with keys that its query sees.
#[derive(Clone, Debug, Default)]
pub struct VisiblePages {
    /// Position of the query.
    pub position: i32,
    /// Numbers of the pages, ascending, with the visible keys of each: bit i for slot i.
    pub pages: Vec<(usize, u64)>,
}

impl KeyMarks {
    /// Returns the keys of a call: those cached before it, then its tokens. `None` if the host doesn't know how many tokens
    /// each row has.
    pub fn after(cached: Option<&Self>, tokens: &TokenMarks, policy: CachePolicy) -> Option<Self> {
        let (layout, lengths) = (tokens.columns_layout()?, tokens.row_lengths()?);
        let mut keys = cached.cloned().unwrap_or_else(|| Self::new(policy, lengths.len()));
        let before = keys.rows.columns();
        keys.rows.push(&lengths, MarkPage::default, |page, run| {
            for (i, slot) in run.slots.enumerate() {
                page.set(slot, layout.row(run.row)[run.first_token + i]);
            }
        });
        keys.members = keys.merge_members(tokens, &before);
        Some(keys)
    }

    /// Returns the marks of rows before their first key.
    pub(super) fn new(policy: CachePolicy, rows: usize) -> Self {
        Self { rows: CacheRows::new(policy, rows), members: None }
    }

    /// Members among the cached keys (in the columns `before`) and the tokens of the call.
    fn merge_members(&self, tokens: &TokenMarks, before: &Columns) -> Option<Tensor<2, Int>> {
        let ([b, t], device) = (tokens.dims(), tokens.field(MarkField::Valid).device());
        let new = tokens.layout().is_none().then(|| tokens.field(MarkField::Valid).clone());
        if new.is_none() && self.members.is_none() {
            return None;
        }
        let new = new.unwrap_or_else(|| Tensor::ones([b, t], &device));
        let all = match (&self.members, before.count()) {
            (_, 0) => new,
            (Some(members), _) => Tensor::cat(vec![members.clone(), new], 1),
            (None, count) => Tensor::cat(vec![Tensor::ones([b, count], &device), new], 1),
        };
        Some(before.merge(all, 1, &self.rows.columns()))
    }

    /// Returns the marks of all rows side by side, `[B, S]`; keys that a row doesn't hold aren't valid.
    pub fn token_marks(&self, device: &Device) -> TokenMarks {
        let columns = self.rows.columns();
        let mark = |row: usize, key: usize| {
            let page = self.rows.pages(row).get(key / PAGE_SIZE)?;
            page.marks().get(key % PAGE_SIZE).copied()
        };
        let marks: Vec<TokenMark> = (0..self.rows.num_rows())
            .flat_map(|row| columns.keys().map(move |key| (row, key)))
            .map(|(row, key)| mark(row, key).unwrap_or_default())
            .collect();
        let layout = Layout::from_marks(marks, columns.count()).expect("rows of equal length");
        let marks = TokenMarks::new(&layout, device);
        match &self.members {
            Some(members) => marks.mask_live(members.clone()),
            None => marks,
        }
    }

    /// Returns the pages that the query of each row sees, by a formula. `None` if the rows have more than one query, or the
    /// host doesn't know the marks of all keys.
    pub fn visible_pages(&self, formula: &Formula, tokens: &TokenMarks) -> Option<Vec<VisiblePages>> {
        let layout = tokens.layout().filter(|layout| layout.sequence_length() == 1 && self.members.is_none())?;
        let row = |row: usize| {
            let query = &layout.row(row)[0];
            let pages = self.rows.pages(row).iter().map(|(number, page)| (number, page.visible_keys(formula, query)));
            VisiblePages { position: query.position, pages: pages.filter(|(_, visible)| *visible != 0).collect() }
        };
        Some((0..self.rows.num_rows()).map(row).collect())
    }

    /// Returns the marks of a page.
    pub fn page(&self, row: usize, number: usize) -> Option<&MarkPage> {
        self.rows.pages(row).get(number)
    }

    /// Returns the bytes of all pages and of the members.
    pub fn bytes(&self) -> usize {
        let members = self.members.as_ref().map_or(0, RowTensors::bytes);
        self.rows.num_pages() * PAGE_SIZE * size_of::<TokenMark>() + members
    }

    /// Drops what no later token needs.
    pub(super) fn drop_unneeded(mut self) -> Self {
        self.change_rows(|rows| rows.drop_unneeded());
        self
    }

    /// Changes the rows' pages but not their number, and moves the members to the columns that are left.
    fn change_rows(&mut self, change: impl FnOnce(&mut CacheRows<MarkPage>)) {
        let before = self.members.is_some().then(|| self.rows.columns());
        change(&mut self.rows);
        if let (Some(before), Some(members)) = (before, self.members.take()) {
            self.members = Some(before.rearrange(members, 1, &self.rows.columns()));
        }
    }

    /// Returns rows by index.
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        let selected = self.rows.select(rows);
        let members = self.members.as_ref().map(|members| {
            self.rows.columns().rearrange(super::rows::select_rows(members, rows), 1, &selected.columns())
        });
        Self { rows: selected, members }
    }

    /// Appends rows.
    pub(super) fn append(&mut self, other: Self) -> Result<(), Incompatible> {
        Incompatible::check("cache policy", &self.rows.policy(), &other.rows.policy())?;
        let columns = [self.rows.columns(), other.rows.columns()];
        let members = [self.members.take(), other.members];
        self.rows.append(other.rows);
        let device = members.iter().flatten().map(Tensor::device).next();
        if let Some(device) = device {
            let all = self.rows.columns();
            let side = |(columns, members): (&Columns, Option<Tensor<2, Int>>)| {
                let ones = || Tensor::ones([columns.lengths().len(), columns.count().max(1)], &device);
                columns.rearrange(members.unwrap_or_else(ones), 1, &all)
            };
            self.members = Some(Tensor::cat(columns.iter().zip(members).map(side).collect(), 0));
        }
        Ok(())
    }

    /// See [`Stateful::rewind_distance`](super::Stateful::rewind_distance).
    pub(super) fn rewind_distance(&self, row: usize, count: usize) -> Option<usize> {
        self.rows.rewind_distance(row, count)
    }

    /// Removes the last `counts[i]` keys of row i.
    pub(super) fn truncate(&mut self, counts: &[usize]) {
        self.change_rows(|rows| rows.truncate(counts, MarkPage::default, MarkPage::truncate));
    }
}
