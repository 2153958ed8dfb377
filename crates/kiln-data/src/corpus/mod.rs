//! Text as tokens, split into training and validation.

mod room;
#[cfg(feature = "files")]
mod scratch;
mod split;
#[cfg(test)]
mod tests;
mod texts;

use crate::{DataError, Source, Tokenizer, Vocabulary, tokenizer::Encoder};
pub use room::Room;
pub use split::{Side, Split};
use std::sync::Arc;
pub use texts::Texts;
use texts::Writer;

/// All documents of a source as tokens.
#[derive(Debug)]
pub struct Corpus {
    /// Documents to learn from.
    pub training: Texts,
    /// Documents that are held out.
    pub validation: Texts,
    /// What their tokens are.
    pub vocabulary: Arc<Vocabulary>,
}

impl Corpus {
    /// Reads all of `source` and encodes it, document by document, however large it is.
    ///
    /// `progress` is called now and then with the bytes of text done and, if the source knows, how many there are.
    pub fn build(
        source: &dyn Source,
        split: &Split,
        tokenizer: &Tokenizer,
        room: &Room,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Self, DataError> {
        let (mut training, mut validation) = (Writer::new(room, tokenizer)?, Writer::new(room, tokenizer)?);
        let (mut encoder, mut done, mut told) = (Encoder::new(tokenizer), 0, 0);
        for unit in split.units(source)? {
            let unit = unit?;
            let (text, continues) = (&unit.document.text, unit.document.continues);
            let (writer, hash) = match unit.side {
                Side::Training => (&mut training, None),
                Side::Validation => (&mut validation, Some(unit.hash)),
            };
            writer.push(&encoder.encode(text), text.len(), continues, hash)?;
            done += text.len() as u64;
            if done - told >= STEP {
                told = done;
                progress(done, source.bytes());
            }
        }
        if done == 0 {
            return Err(DataError::Empty { origin: source.describe() });
        }
        progress(done, source.bytes());
        let vocabulary = tokenizer.vocabulary().clone();
        Ok(Self { training: training.finish()?, validation: validation.finish()?, vocabulary })
    }

    /// The documents of one side.
    pub fn side(&self, side: Side) -> &Texts {
        match side {
            Side::Training => &self.training,
            Side::Validation => &self.validation,
        }
    }
}

/// Progress is told after this many bytes of text.
const STEP: u64 = 1 << 20;
