//! Laws on rows of decode state: they come and go, and no row knows of the others.

use super::visibility::{check_difference, documents};
use crate::registry::Verdict;
use kiln_infer::{block_on, row_equivalence};
use kiln_laws::test_case::TestCase;

/// Tokens of a call: one at a time, and several.
const CHUNKS: [usize; 2] = [1, 3];

/// Selected = alone: rows that were selected from a batch give the results of rows that were always alone.
pub fn selected(subject: &TestCase) -> Verdict {
    for chunk in CHUNKS {
        check_difference(subject, |run| {
            let documents = documents(&[7, 9, 5]);
            let apart = row_equivalence::selected_difference(run, &documents, chunk);
            (block_on(apart).expect("numbers"), format!("rows selected from a batch, in chunks of {chunk}"))
        })?;
    }
    Ok(())
}

/// Forked = fresh: rows that were forked after a common beginning give the results of whole documents, and so does the row
/// that they were forked from.
pub fn forked(subject: &TestCase) -> Verdict {
    for chunk in CHUNKS {
        check_difference(subject, |run| {
            let (beginning, tails) = (&documents(&[5])[0], documents(&[5, 5, 4]));
            let apart = row_equivalence::forked_difference(run, beginning, &tails, chunk);
            (block_on(apart).expect("numbers"), format!("rows forked from one, in chunks of {chunk}"))
        })?;
    }
    Ok(())
}

/// Truncated = never fed: a row that forgot tokens gives the results of one that never read them.
pub fn truncated(subject: &TestCase) -> Verdict {
    for chunk in CHUNKS {
        check_difference(subject, |run| {
            let (documents, detours) = (documents(&[9, 8]), documents(&[2, 3, 4])[1..].to_vec());
            let apart = row_equivalence::truncated_difference(run, &documents, &detours, chunk);
            (block_on(apart).expect("numbers"), format!("truncated rows, in chunks of {chunk}"))
        })?;
    }
    Ok(())
}

/// Joined rows = each alone: rows of several states, one of them before its first token.
pub fn joined(subject: &TestCase) -> Verdict {
    for chunk in CHUNKS {
        check_difference(subject, |run| {
            let documents = documents(&[6, 9, 7]);
            let apart = row_equivalence::joined_difference(run, &documents, chunk);
            (block_on(apart).expect("numbers"), format!("rows of joined states, in chunks of {chunk}"))
        })?;
    }
    Ok(())
}
