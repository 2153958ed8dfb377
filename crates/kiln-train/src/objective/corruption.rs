//! Batches made document by document.

use kiln_data::{Batch, DataError, PackedSequences, Segment, Sequence, TokenRole, Vocabulary};
use kiln_spec::Random;

/// What an objective makes of a document, or of the piece of one that a row holds, by itself.
pub trait Corruption {
    /// What goes in, what should come out, who sees whom. `random` belongs to this piece alone.
    ///
    /// The vocabulary has the special tokens that this [`needs`](Self::needs).
    fn corrupt(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment;

    /// The special tokens that it puts in. A tokenizer that lacks one is refused.
    fn required_roles(&self) -> Vec<TokenRole> {
        Vec::new()
    }
}

/// The batch of all documents. Random numbers are named by the document: whatever else is in the batch, the same
/// `random` makes the same of it.
///
/// # Errors
/// If a segment is not as long as its row allows, or the tokenizer lacks a special token that is needed.
pub fn corrupt_batch(packed: &PackedSequences, random: Random, corrupt: &dyn Corruption) -> Result<Batch, DataError> {
    packed.vocabulary.special_tokens().require_roles(&corrupt.required_roles())?;
    let drawn = DocumentRng::for_batch(random);
    let segment =
        |sequence: &Sequence| corrupt.corrupt(sequence, &packed.vocabulary, &mut drawn.for_sequence(sequence));
    let rows: Vec<Vec<Segment>> = packed.rows.iter().map(|row| row.iter().map(segment).collect()).collect();
    Batch::from_rows(&rows, packed.sequence_length, packed.pad_id())
}

/// Random numbers named by the document.
pub(super) struct DocumentRng(u64);

impl DocumentRng {
    /// Those of a batch.
    pub(super) fn for_batch(mut random: Random) -> Self {
        Self(random.next_u64())
    }

    /// Those of one piece of a document.
    pub(super) fn for_sequence(&self, sequence: &Sequence) -> Random {
        Random::new(self.0, "document", sequence.document as u64, sequence.start as u64)
    }
}
