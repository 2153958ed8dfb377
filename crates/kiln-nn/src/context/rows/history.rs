//! How many tokens a row has read, and the lengths that it can go back to.

/// Number of tokens between two snapshots in decoding. A snapshot of a recurrent layer costs the memory of its state, and a
/// row that goes back reads at most this many tokens again.
pub const SNAPSHOT_INTERVAL: usize = 256;

/// Number of snapshots of a row. The oldest is dropped first.
pub const MAX_SNAPSHOTS: usize = 8;

/// Tokens that a row has read, and its snapshots.
///
/// A snapshot is taken after a call that read several tokens (the end of a prompt) and after [`SNAPSHOT_INTERVAL`] tokens
/// without one. Lengths decide, nothing else, so all parts of a model have snapshots at the same tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowHistory {
    length: usize,
    /// Lengths with a snapshot, ascending.
    snapshots: Vec<usize>,
}

impl RowHistory {
    /// Returns the number of tokens read.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the lengths with a snapshot, ascending.
    pub fn snapshots(&self) -> &[usize] {
        &self.snapshots
    }

    /// Counts the tokens of a call. Returns whether a snapshot is taken after them.
    pub fn advance(&mut self, count: usize) -> bool {
        self.length += count;
        let since = self.length - self.snapshots.last().copied().unwrap_or(0);
        if count == 0 || (count == 1 && since < SNAPSHOT_INTERVAL) {
            return false;
        }
        // A prompt that is read in small chunks keeps its last end and one snapshot an interval before.
        if let [.., before, _] = self.snapshots[..]
            && self.length - before < SNAPSHOT_INTERVAL
        {
            self.snapshots.pop();
        }
        self.snapshots.push(self.length);
        if self.snapshots.len() > MAX_SNAPSHOTS {
            self.snapshots.remove(0);
        }
        true
    }

    /// Returns the number of tokens to go back to the latest snapshot that is at least `count` tokens back; `None` if there is
    /// none. The start of the row counts as a snapshot only if `count` reaches it.
    pub fn snapshot_distance(&self, count: usize) -> Option<usize> {
        let target = self.length.checked_sub(count)?;
        if count == 0 || target == 0 {
            return Some(count);
        }
        self.snapshots.iter().rev().find(|snapshot| **snapshot <= target).map(|snapshot| self.length - snapshot)
    }

    /// Removes the last `count` tokens, and the snapshots after them.
    pub fn truncate(&mut self, count: usize) {
        self.length = self.length.saturating_sub(count);
        self.snapshots.retain(|snapshot| *snapshot <= self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_taken_at_prompt_ends_and_intervals() {
        let mut row = RowHistory::default();
        assert!(row.advance(5) && !row.advance(1) && !row.advance(0));
        (0..2 * SNAPSHOT_INTERVAL).for_each(|_| _ = row.advance(1));
        assert_eq!(row.snapshots(), [5, 5 + SNAPSHOT_INTERVAL, 5 + 2 * SNAPSHOT_INTERVAL]);
        assert_eq!(row.snapshot_distance(1), Some(1));
        assert_eq!(row.snapshot_distance(2), Some(1 + SNAPSHOT_INTERVAL));
        row.truncate(1 + SNAPSHOT_INTERVAL);
        assert_eq!((row.length(), row.snapshots()), (5 + SNAPSHOT_INTERVAL, &[5, 5 + SNAPSHOT_INTERVAL][..]));
        assert_eq!(row.snapshot_distance(SNAPSHOT_INTERVAL + 1), None);
        assert_eq!(row.snapshot_distance(row.length()), Some(row.length()));
        assert_eq!(row.snapshot_distance(row.length() + 1), None);
    }

    #[test]
    fn small_chunks_keep_few_snapshots() {
        let mut row = RowHistory::default();
        (0..1000).for_each(|_| _ = row.advance(2));
        let gaps = row.snapshots().windows(3).map(|three| three[2] - three[0]);
        assert!(gaps.clone().all(|gap| gap >= SNAPSHOT_INTERVAL), "{:?}", row.snapshots());
        assert_eq!(row.snapshots().last(), Some(&2000));
        (0..5000).for_each(|_| _ = row.advance(1));
        assert_eq!(row.snapshots().len(), MAX_SNAPSHOTS);
    }
}
