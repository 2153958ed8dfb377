//! Batches that an objective builds document by document, with random numbers that depend on the document only.

use kiln_data::{Batch, DataError, PackedSequences, Segment, Sequence, TokenRole, Vocabulary};
use kiln_spec::Random;

/// Builder of the training segment of a document: from its tokens to inputs, targets, weights and attention direction.
///
/// Masked language modeling corrupts the inputs; next-token objectives only shift them.
pub trait SegmentBuilder {
    /// Returns the segment of a document, or of the chunk of it that a row holds.
    ///
    /// All randomness comes from `random`, which is seeded by the document. The vocabulary has the special tokens that
    /// [`required_roles`](Self::required_roles) lists.
    fn build_segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment;

    /// Returns the special tokens that this builder inserts. A tokenizer without one of them is refused. Default: none.
    fn required_roles(&self) -> Vec<TokenRole> {
        Vec::new()
    }
}

/// Returns the batch of packed documents, with the segments that `builder` makes of them.
///
/// Random numbers are seeded by `random`, the document and the start of the chunk, so a document's segment does not depend on
/// the other documents of the batch.
///
/// # Errors
/// If the tokenizer lacks a required special token, or a segment is longer than the rest of its row.
pub fn segment_batch(
    packed: &PackedSequences,
    random: Random,
    builder: &dyn SegmentBuilder,
) -> Result<Batch, DataError> {
    packed.vocabulary.special_tokens().require_roles(&builder.required_roles())?;
    let rng = DocumentRng::for_batch(random);
    let mut rows: Vec<Vec<Segment>> = Vec::with_capacity(packed.rows.len());
    for row in &packed.rows {
        let segments = row.iter().map(|s| builder.build_segment(s, &packed.vocabulary, &mut rng.for_sequence(s)));
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
