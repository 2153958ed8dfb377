//! One side of a corpus: its documents as tokens.

use super::room::{Room, Tokens};
use crate::{DataError, Role, Tokenizer};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Documents between two noted offsets.
const STRIDE: usize = 64;

/// Documents of one side, each from `<bos>` to `<eos>`.
#[derive(Debug)]
pub struct Texts {
    tokens: Tokens,
    lengths: Vec<u32>,
    /// Where every 64th document starts: lengths alone take half the memory of offsets.
    starts: Vec<u64>,
    hashes: Vec<u64>,
    bytes: u64,
    fingerprint: String,
}

impl Texts {
    /// Number of documents.
    pub fn documents(&self) -> usize {
        self.lengths.len()
    }

    /// Number of tokens, `<bos>` and `<eos>` of each document included.
    pub fn tokens(&self) -> u64 {
        self.tokens.len()
    }

    /// Bytes of text.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of all tokens, in hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Number of tokens of each document.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Hash of each held-out document's text: an order that is random and doesn't change when documents are added.
    /// None of training documents, of which there may be very many.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Tokens of one document. `document` must be below [`documents`](Self::documents).
    pub fn document(&self, document: usize) -> Result<Vec<u32>, DataError> {
        self.read(document, 0..self.lengths[document] as usize)
    }

    /// Some tokens of one document; `range` must lie within it.
    pub fn read(&self, document: usize, range: Range<usize>) -> Result<Vec<u32>, DataError> {
        let before = &self.lengths[document - document % STRIDE..document];
        let start = self.starts[document / STRIDE] + before.iter().map(|length| u64::from(*length)).sum::<u64>();
        self.tokens.read(start + range.start as u64..start + range.end as u64)
    }
}

/// Collects documents, whole or part by part.
pub(crate) struct Writer {
    texts: Texts,
    open: Option<u32>,
    hasher: Sha256,
    bos: u32,
    eos: u32,
}

impl Writer {
    pub fn new(room: &Room, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        tokenizer.specials().require(&[Role::Bos, Role::Eos])?;
        let texts = Texts {
            tokens: Tokens::new(room, tokenizer.vocab()),
            lengths: Vec::new(),
            starts: Vec::new(),
            hashes: Vec::new(),
            bytes: 0,
            fingerprint: String::new(),
        };
        let (bos, eos) = (tokenizer.specials().bos, tokenizer.specials().eos);
        Ok(Self { texts, open: None, hasher: Sha256::new(), bos, eos })
    }

    /// Adds a document, or the next part of the one before it if it `continues`.
    pub fn push(&mut self, ids: &[u32], bytes: usize, continues: bool, hash: Option<u64>) -> Result<(), DataError> {
        // A document's length is 32 bits; beyond, it goes on as another document.
        let fits = self.open.is_some_and(|length| (length as usize) < u32::MAX as usize - ids.len() - 1);
        if !(continues && fits) {
            self.close()?;
            if self.texts.lengths.len().is_multiple_of(STRIDE) {
                self.texts.starts.push(self.texts.tokens.len());
            }
            self.texts.hashes.extend(hash);
            self.append(&[self.bos])?;
        }
        self.texts.bytes += bytes as u64;
        self.append(ids)
    }

    fn append(&mut self, ids: &[u32]) -> Result<(), DataError> {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.hasher.update(bytes);
        self.open = Some(self.open.unwrap_or(0) + ids.len() as u32);
        self.texts.tokens.push(ids)
    }

    fn close(&mut self) -> Result<(), DataError> {
        if self.open.is_none() {
            return Ok(());
        }
        self.append(&[self.eos])?;
        self.texts.lengths.extend(self.open.take());
        Ok(())
    }

    pub fn finish(mut self) -> Result<Texts, DataError> {
        self.close()?;
        self.texts.fingerprint = crate::hex(&self.hasher.finalize());
        Ok(self.texts)
    }
}
