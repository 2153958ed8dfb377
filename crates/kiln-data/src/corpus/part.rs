//! Parts of a subset: the documents of one source, their groups, and which of their tokens are trained.

use super::storage::{DiskSpace, TokenStore};
use crate::{DataError, ExampleKind};
use std::ops::Range;

/// Documents of one source of a corpus.
#[derive(Debug)]
pub struct DocumentPart {
    /// Description of the source, such as its path.
    pub origin: String,
    /// Kind of the examples.
    pub kind: ExampleKind,
    /// Share of the source in a mixture, relative to the others; above 0.
    pub weight: f64,
    /// Documents of the source in the subset.
    pub documents: Range<usize>,
    /// Index of the first group of the source in the subset.
    pub(super) first_group: usize,
    /// Whole examples; `None` for text, in which each document is a group and may be cut.
    pub(super) whole: Option<WholeExamples>,
}

/// Groups and trained tokens of whole examples.
///
/// Memory: 12 bytes a document and 4 bytes a group; the ranges of trained tokens are stored like tokens.
#[derive(Debug)]
pub(super) struct WholeExamples {
    /// End of each group: the index of the document after it.
    pub group_ends: Vec<u32>,
    /// Whether some tokens are not trained. Pairs have no loss weights.
    pub has_answers: bool,
    /// Start and end of the trained ranges of all documents, one after the other.
    answers: TokenStore,
    /// Number of values in `answers` up to the end of each document.
    answer_ends: Vec<u64>,
}

impl DocumentPart {
    /// Whether the documents are whole sequences with loss weights or groups, which are never cut.
    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Number of groups. Text has one for each document.
    pub fn num_groups(&self) -> usize {
        self.whole.as_ref().map_or(self.documents.len(), |whole| whole.group_ends.len())
    }

    /// Documents of a group; `group` counts within the part.
    pub(crate) fn group_documents(&self, group: usize) -> Range<usize> {
        match &self.whole {
            None => self.documents.start + group..self.documents.start + group + 1,
            Some(whole) => {
                let start = if group == 0 { self.documents.start } else { whole.group_ends[group - 1] as usize };
                start..whole.group_ends[group] as usize
            }
        }
    }

    /// Index of a group in the subset; `group` counts within the part.
    pub(crate) fn group_index(&self, group: usize) -> usize {
        self.first_group + group
    }

    /// Trained ranges of the tokens of a document; `None` if all are trained.
    pub(crate) fn answers(&self, document: usize) -> Result<Option<Vec<Range<u32>>>, DataError> {
        let Some(whole) = self.whole.as_ref().filter(|whole| whole.has_answers) else { return Ok(None) };
        let index = document - self.documents.start;
        let start = if index == 0 { 0 } else { whole.answer_ends[index - 1] };
        let bounds = whole.answers.read(start..whole.answer_ends[index])?;
        Ok(Some(bounds.chunks_exact(2).map(|bound| bound[0]..bound[1]).collect()))
    }
}

impl WholeExamples {
    /// Without documents.
    pub fn new(disk_space: &DiskSpace, has_answers: bool) -> Self {
        // Ranges need all 32 bits.
        let answers = TokenStore::new(disk_space, u32::MAX as usize);
        Self { group_ends: Vec::new(), has_answers, answers, answer_ends: Vec::new() }
    }

    /// Adds the trained ranges of the next document.
    pub fn push_answers(&mut self, bounds: &[u32]) -> Result<(), DataError> {
        self.answers.push(bounds)?;
        self.answer_ends.push(self.answers.len());
        Ok(())
    }
}
