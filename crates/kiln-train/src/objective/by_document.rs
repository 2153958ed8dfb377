//! Batches made document by document.

use kiln_data::{Batch, DataError, Packed, Role, Segment, Sequence, Vocabulary};
use kiln_spec::Random;

/// What an objective makes of a document, or of the piece of one that a row holds, by itself.
pub trait Corrupt {
    /// What goes in, what should come out, who sees whom. `random` belongs to this piece alone.
    ///
    /// The vocabulary has the special tokens that this [`needs`](Self::needs).
    fn segment(&self, sequence: &Sequence, vocabulary: &Vocabulary, random: &mut Random) -> Segment;

    /// The special tokens that it puts in. A tokenizer that lacks one is refused.
    fn needs(&self) -> Vec<Role> {
        Vec::new()
    }
}

/// The batch of all documents. Random numbers are named by the document: whatever else is in the batch, the same
/// `random` makes the same of it.
///
/// # Errors
/// If a segment is not as long as its row allows, or the tokenizer lacks a special token that is needed.
pub fn by_document(packed: &Packed, random: Random, corrupt: &dyn Corrupt) -> Result<Batch, DataError> {
    packed.vocabulary.specials().require(&corrupt.needs())?;
    let drawn = Drawn::of(random);
    let segment = |sequence: &Sequence| corrupt.segment(sequence, &packed.vocabulary, &mut drawn.random(sequence));
    let rows: Vec<Vec<Segment>> = packed.rows.iter().map(|row| row.iter().map(segment).collect()).collect();
    Batch::from_rows(&rows, packed.width, packed.pad())
}

/// Random numbers named by the document.
pub(super) struct Drawn(u64);

impl Drawn {
    /// Those of a batch.
    pub(super) fn of(mut random: Random) -> Self {
        Self(random.next_u64())
    }

    /// Those of one piece of a document.
    pub(super) fn random(&self, sequence: &Sequence) -> Random {
        Random::new(self.0, "document", sequence.document as u64, sequence.start as u64)
    }
}
