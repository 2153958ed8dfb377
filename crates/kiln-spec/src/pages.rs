//! Pages: the unit in which decode state is stored, shared and dropped.
//!
//! A row's keys are numbered from 0 in the order in which they were read. Key n is in slot n mod 64 of page ⌊n / 64⌋,
//! whatever else is cached. Page borders, and with them the order of sums, depend on nothing but the key's number.

use crate::{
    formula::{Formula, TileCoverage},
    layout::{MarkRange, TokenMark},
};

/// Number of keys in a page: one bit each in a word of 64 bits, and the tile size of the fused attention kernel.
pub const PAGE_SIZE: usize = 64;

/// Token marks of the keys of one page.
#[derive(Clone, Debug)]
pub struct MarkPage {
    marks: Vec<TokenMark>,
    range: MarkRange,
}

impl Default for MarkPage {
    fn default() -> Self {
        Self { marks: Vec::with_capacity(PAGE_SIZE), range: MarkRange::from_marks(&[]) }
    }
}

impl MarkPage {
    /// Returns the marks, at most [`PAGE_SIZE`].
    pub fn marks(&self) -> &[TokenMark] {
        &self.marks
    }

    /// Sets the mark of `slot`, which is at most the number of marks. Marks of later slots are removed.
    pub fn set(&mut self, slot: usize, mark: TokenMark) {
        self.marks.truncate(slot);
        self.marks.push(mark);
        // A range may be wider than its marks: it only decides whether they are looked at one by one.
        let added = MarkRange::from_marks(&[mark]);
        self.range = if slot == 0 { added } else { self.range.union(&added) };
    }

    /// Removes the marks from `slot` on.
    pub fn truncate(&mut self, slot: usize) {
        self.marks.truncate(slot);
        self.range = MarkRange::from_marks(&self.marks);
    }

    /// Returns the keys of the page that a query sees by a formula: bit i is set if the query sees the key in slot i.
    pub fn visible_keys(&self, formula: &Formula, query: &TokenMark) -> u64 {
        let all = u64::MAX.checked_shr((PAGE_SIZE - self.marks.len()) as u32).unwrap_or(0);
        match formula.tile_coverage(&MarkRange::from_marks(&[*query]), &self.range) {
            TileCoverage::Empty => 0,
            TileCoverage::Full => all,
            TileCoverage::Partial => {
                let bit = |(slot, key): (usize, &TokenMark)| u64::from(formula.evaluate(query, key)) << slot;
                self.marks.iter().enumerate().map(bit).sum()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Pattern, Random};

    /// The bits of a page are those of the formula, also after marks were removed and replaced.
    #[test]
    fn visible_keys_are_those_of_the_formula() {
        let mut random = Random::new(3, "pages", 0, 0);
        for pattern in [Pattern::default(), Pattern::window(9, 0)] {
            let formula = pattern.visibility_formula();
            for count in 0..=PAGE_SIZE {
                let mut page = MarkPage::default();
                for slot in (0..count).chain(count / 2..count) {
                    let valid = random.uniform_int(9) > 0;
                    page.set(slot, TokenMark { valid, ..TokenMark::new(100 + slot, slot / 40, Direction::Causal) });
                }
                for position in [90, 110, 130, 163, 170] {
                    let query = TokenMark::new(position, usize::from(position > 140), Direction::Causal);
                    let bits = page.visible_keys(&formula, &query);
                    for slot in 0..PAGE_SIZE {
                        let sees = page.marks().get(slot).is_some_and(|key| formula.evaluate(&query, key));
                        assert_eq!(bits >> slot & 1 == 1, sees, "{pattern}: {slot} of {count}, {query:?}");
                    }
                }
            }
        }
    }
}
