//! Batches that are made document by document, with random numbers that depend on the document only.

use kiln_data::{Batch, DataError, PackedSequences, Segment, Sequence, TokenRole, Vocabulary};
use kiln_spec::Random;

/// Corruption of a document: from its tokens to model inputs, targets and weights.
pub trait Corruption {
    /// Inputs, targets, weights and attention direction of a document, or of the chunk of it that a row holds.
    ///
    /// All randomness comes from `random`, which is seeded by the document. The vocabulary has the special tokens that
    /// [`required_roles`](Self::required_roles) lists.
    fn corrupt(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment;

    /// Special tokens that the corruption inserts. A tokenizer without one of them is refused. Default: none.
    fn required_roles(&self) -> Vec<TokenRole> {
        Vec::new()
    }
}

/// Batch of packed documents, each corrupted by `corrupt`.
///
/// Random numbers are seeded by `random`, the document and the start of the chunk: a document is corrupted in the same way
/// whatever else is in the batch.
///
/// # Errors
/// If the tokenizer lacks a required special token, or a segment is longer than the rest of its row.
pub fn corrupt_batch(packed: &PackedSequences, random: Random, corrupt: &dyn Corruption) -> Result<Batch, DataError> {
    packed.vocabulary.special_tokens().require_roles(&corrupt.required_roles())?;
    let rng = DocumentRng::for_batch(random);
    let mut rows: Vec<Vec<Segment>> = Vec::with_capacity(packed.rows.len());
    for row in &packed.rows {
        let segments = row.iter().map(|s| corrupt.corrupt(s, &packed.vocabulary, &mut rng.for_sequence(s)));
        rows.push(segments.collect());
    }
    Batch::from_rows(&rows, packed.sequence_length, packed.pad_id())
}

/// Random number generators for the documents of a batch.
pub(super) struct DocumentRng(u64);

impl DocumentRng {
    /// The generators of a batch. Takes one number from `random`.
    pub(super) fn for_batch(mut random: Random) -> Self {
        Self(random.next_u64())
    }

    /// The generator of one chunk of a document.
    pub(super) fn for_sequence(&self, sequence: &Sequence) -> Random {
        Random::new(self.0, "document", sequence.document as u64, sequence.start as u64)
    }
}
