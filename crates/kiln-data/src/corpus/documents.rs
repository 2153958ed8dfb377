//! One side of a corpus: its documents as tokens.

use super::storage::{DiskSpace, TokenStore};
use crate::{DataError, TokenRole, Tokenizer};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Documents between two noted offsets.
const START_STRIDE: usize = 64;

/// Documents of one side, each from `<bos>` to `<eos>`.
#[derive(Debug)]
pub struct TokenizedDocuments {
    tokens: TokenStore,
    document_lengths: Vec<u32>,
    /// Where every 64th document starts: lengths alone take half the memory of offsets.
    strided_starts: Vec<u64>,
    document_hashes: Vec<u64>,
    bytes: u64,
    fingerprint: String,
}

impl TokenizedDocuments {
    /// Number of documents.
    pub fn num_documents(&self) -> usize {
        self.document_lengths.len()
    }

    /// Number of tokens, `<bos>` and `<eos>` of each document included.
    pub fn num_tokens(&self) -> u64 {
        self.tokens.len()
    }

    /// Bytes of text.
    pub fn num_bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of all tokens, in hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Number of tokens of each document.
    pub fn document_lengths(&self) -> &[u32] {
        &self.document_lengths
    }

    /// Hash of each held-out document's text: an order that is random and doesn't change when documents are added.
    /// None of training documents, of which there may be very many.
    pub fn document_hashes(&self) -> &[u64] {
        &self.document_hashes
    }

    /// Tokens of one document. `document` must be below [`documents`](Self::documents).
    pub fn document_tokens(&self, document: usize) -> Result<Vec<u32>, DataError> {
        self.read_tokens(document, 0..self.document_lengths[document] as usize)
    }

    /// Some tokens of one document; `range` must lie within it.
    pub fn read_tokens(&self, document: usize, range: Range<usize>) -> Result<Vec<u32>, DataError> {
        let before = &self.document_lengths[document - document % START_STRIDE..document];
        let start =
            self.strided_starts[document / START_STRIDE] + before.iter().map(|length| u64::from(*length)).sum::<u64>();
        self.tokens.read(start + range.start as u64..start + range.end as u64)
    }
}

/// Collects documents, whole or part by part.
pub(crate) struct DocumentWriter {
    texts: TokenizedDocuments,
    open_length: Option<u32>,
    hasher: Sha256,
    bos: u32,
    eos: u32,
}

impl DocumentWriter {
    pub fn new(room: &DiskSpace, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        tokenizer.special_tokens().require_roles(&[TokenRole::Bos, TokenRole::Eos])?;
        let texts = TokenizedDocuments {
            tokens: TokenStore::new(room, tokenizer.vocab_size()),
            document_lengths: Vec::new(),
            strided_starts: Vec::new(),
            document_hashes: Vec::new(),
            bytes: 0,
            fingerprint: String::new(),
        };
        let (bos, eos) = (tokenizer.special_tokens().bos, tokenizer.special_tokens().eos);
        Ok(Self { texts, open_length: None, hasher: Sha256::new(), bos, eos })
    }

    /// Adds a document, or the next part of the one before it if it `continues`.
    pub fn push(&mut self, ids: &[u32], bytes: usize, continues: bool, hash: Option<u64>) -> Result<(), DataError> {
        // A document's length is 32 bits; beyond, it goes on as another document.
        let fits = self.open_length.is_some_and(|length| (length as usize) < u32::MAX as usize - ids.len() - 1);
        if !(continues && fits) {
            self.end_document()?;
            if self.texts.document_lengths.len().is_multiple_of(START_STRIDE) {
                self.texts.strided_starts.push(self.texts.tokens.len());
            }
            self.texts.document_hashes.extend(hash);
            self.append_tokens(&[self.bos])?;
        }
        self.texts.bytes += bytes as u64;
        self.append_tokens(ids)
    }

    fn append_tokens(&mut self, ids: &[u32]) -> Result<(), DataError> {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.hasher.update(bytes);
        self.open_length = Some(self.open_length.unwrap_or(0) + ids.len() as u32);
        self.texts.tokens.push(ids)
    }

    fn end_document(&mut self) -> Result<(), DataError> {
        if self.open_length.is_none() {
            return Ok(());
        }
        self.append_tokens(&[self.eos])?;
        self.texts.document_lengths.extend(self.open_length.take());
        Ok(())
    }

    pub fn finish(mut self) -> Result<TokenizedDocuments, DataError> {
        self.end_document()?;
        self.texts.fingerprint = crate::to_hex(&self.hasher.finalize());
        Ok(self.texts)
    }
}
