//! Documents of one subset as token ids, with random access by document and token index.

use super::{
    part::{DocumentPart, WholeExamples},
    storage::{DiskSpace, TokenStore},
};
use crate::{DataError, ExampleKind, SpecialTokens, TokenRole, Tokenizer, example::EncodedSequence};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Documents between two stored start offsets. Larger values save memory; each read sums up to `START_STRIDE - 1`
/// lengths.
const START_STRIDE: usize = 64;

/// Tokenized documents of one subset. A document of text is `<bos>`, its tokens, `<eos>`. A document whose text begins with
/// the name of `<bos>` gets no second one. A document of an example is a sequence as [`crate::example::ExampleEncoder`] gives
/// it; those of a group follow each other.
///
/// Memory: 4 bytes per document for its length, 8 bytes per 64 documents for start offsets, 8 bytes per validation
/// document for its hash; the tokens are in memory or in a scratch file ([`DiskSpace`]).
#[derive(Debug)]
pub struct TokenizedDocuments {
    tokens: TokenStore,
    document_lengths: Vec<u32>,
    /// Token offset of every 64th document. Offsets of all documents would double the memory of the lengths.
    strided_starts: Vec<u64>,
    document_hashes: Vec<u64>,
    bytes: u64,
    fingerprint: String,
    parts: Vec<DocumentPart>,
}

impl TokenizedDocuments {
    /// Returns the documents of each source, in the order of the sources.
    pub fn parts(&self) -> &[DocumentPart] {
        &self.parts
    }

    /// Returns the number of groups. A document of text is a group of its own.
    pub fn num_groups(&self) -> usize {
        self.parts.iter().map(DocumentPart::num_groups).sum()
    }

    /// Returns the loss weight of each token of a document as a target; `None` if all are 1.
    ///
    /// # Errors
    /// [`DataError::Io`] if the scratch file cannot be read.
    pub fn loss_weights(&self, document: usize) -> Result<Option<Vec<f32>>, DataError> {
        let Some(part) = self.parts.iter().find(|part| part.documents.contains(&document)) else { return Ok(None) };
        Ok(part.answers(document)?.map(|answers| {
            let mut weights = vec![0.0; self.document_lengths[document] as usize];
            answers.iter().for_each(|range| weights[range.start as usize..range.end as usize].fill(1.0));
            weights
        }))
    }

    /// Returns the number of documents.
    pub fn num_documents(&self) -> usize {
        self.document_lengths.len()
    }

    /// Returns the number of tokens, including `<bos>` and `<eos>` of each document.
    pub fn num_tokens(&self) -> u64 {
        self.tokens.len()
    }

    /// Returns the number of bytes of the text, in UTF-8. Bits per byte are computed with it.
    pub fn num_bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the SHA-256 of all token ids (little-endian `u32`) as 64 hexadecimal digits. Trained ranges and the ends of
    /// groups are hashed with them.
    ///
    /// Runs compare fingerprints to detect changed data on resume.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the number of tokens of each document, including `<bos>` and `<eos>`.
    pub fn document_lengths(&self) -> &[u32] {
        &self.document_lengths
    }

    /// Returns the hash of each validation document's text.
    ///
    /// Sorting by hash gives a random order that stays stable when documents are added. Empty for training documents,
    /// to save memory.
    pub fn document_hashes(&self) -> &[u64] {
        &self.document_hashes
    }

    /// Returns all tokens of one document. Panics if `document` is not below [`num_documents`](Self::num_documents).
    ///
    /// # Errors
    /// [`DataError::Io`] if the scratch file cannot be read.
    pub fn document_tokens(&self, document: usize) -> Result<Vec<u32>, DataError> {
        self.read_tokens(document, 0..self.document_lengths[document] as usize)
    }

    /// Returns the tokens `range` of one document. `range` must be within the document.
    ///
    /// # Errors
    /// [`DataError::Io`] if the scratch file cannot be read.
    pub fn read_tokens(&self, document: usize, range: Range<usize>) -> Result<Vec<u32>, DataError> {
        let lengths_before = &self.document_lengths[document - document % START_STRIDE..document];
        let tokens_before: u64 = lengths_before.iter().map(|length| u64::from(*length)).sum();
        let start = self.strided_starts[document / START_STRIDE] + tokens_before;
        self.tokens.read(start + range.start as u64..start + range.end as u64)
    }
}

/// Writer of [`TokenizedDocuments`]: source after source. Documents of text arrive whole or in consecutive parts.
pub(crate) struct DocumentWriter {
    documents: TokenizedDocuments,
    /// Tokens of the document that is being written, `<bos>` included; `None` between documents.
    open_length: Option<u32>,
    hasher: Sha256,
    special_tokens: SpecialTokens,
    disk_space: DiskSpace,
}

impl DocumentWriter {
    /// Creates an empty writer.
    pub fn new(disk_space: &DiskSpace, tokenizer: &Tokenizer) -> Self {
        let documents = TokenizedDocuments {
            tokens: TokenStore::new(disk_space, tokenizer.vocab_size()),
            document_lengths: Vec::new(),
            strided_starts: Vec::new(),
            document_hashes: Vec::new(),
            bytes: 0,
            fingerprint: String::new(),
            parts: Vec::new(),
        };
        let special_tokens = tokenizer.special_tokens().clone();
        Self { documents, open_length: None, hasher: Sha256::new(), special_tokens, disk_space: disk_space.clone() }
    }

    /// Begins the documents of the next source.
    ///
    /// # Errors
    /// For text, if the tokenizer lacks `<bos>` or `<eos>`, or the model a row for them.
    pub fn begin_part(
        &mut self,
        origin: &str,
        kind: ExampleKind,
        weight: f64,
        tokenizer: &Tokenizer,
    ) -> Result<(), DataError> {
        self.end_document()?;
        self.end_part();
        if !kind.is_whole() {
            self.special_tokens.require_roles(&[TokenRole::Bos, TokenRole::Eos])?;
            let ends = [self.special_tokens.bos, self.special_tokens.eos];
            tokenizer.check_rows(&ends, tokenizer.vocabulary().model_rows())?;
        }
        let start = self.documents.num_documents();
        let whole = kind.is_whole().then(|| WholeExamples::new(&self.disk_space, kind != ExampleKind::Pair));
        let (origin, first_group) = (origin.into(), self.documents.num_groups());
        let part = DocumentPart { origin, kind, weight, documents: start..start, first_group, whole };
        self.documents.parts.push(part);
        Ok(())
    }

    /// Ends the documents of the source.
    fn end_part(&mut self) {
        let end = self.documents.num_documents();
        if let Some(part) = self.documents.parts.last_mut() {
            part.documents.end = end;
        }
    }

    /// Adds the sequences of a group as documents. `hash` is stored for each if it is given.
    pub fn push_group(&mut self, group: &[EncodedSequence], hash: Option<u64>) -> Result<(), DataError> {
        for sequence in group {
            self.begin_document(hash);
            self.append_tokens(&sequence.tokens)?;
            self.documents.document_lengths.extend(self.open_length.take());
            self.documents.bytes += sequence.num_bytes as u64;
            let bounds = sequence.answers.iter().flatten().flat_map(|range| [range.start, range.end]);
            let bounds: Vec<u32> = bounds.collect();
            self.hash_ids(&bounds);
            if let Some(whole) = self.whole() {
                whole.push_answers(&bounds)?;
            }
        }
        let end = self.documents.num_documents() as u32;
        self.hash_ids(&[end]);
        if let Some(whole) = self.whole() {
            whole.group_ends.push(end);
        }
        Ok(())
    }

    fn whole(&mut self) -> Option<&mut WholeExamples> {
        self.documents.parts.last_mut()?.whole.as_mut()
    }

    /// Begins a document without tokens.
    fn begin_document(&mut self, hash: Option<u64>) {
        if self.documents.document_lengths.len().is_multiple_of(START_STRIDE) {
            self.documents.strided_starts.push(self.documents.tokens.len());
        }
        self.documents.document_hashes.extend(hash);
        self.open_length = Some(0);
    }

    /// Adds a document of `num_bytes` bytes, or the next part of the previous one if `is_continuation`.
    ///
    /// `hash` is stored for a new document if it is given.
    pub fn push(
        &mut self,
        ids: &[u32],
        num_bytes: usize,
        is_continuation: bool,
        hash: Option<u64>,
    ) -> Result<(), DataError> {
        // Document lengths are 32-bit: a longer document is stored as several.
        let fits = self.open_length.is_some_and(|length| (length as usize) < u32::MAX as usize - ids.len() - 1);
        if !(is_continuation && fits) {
            self.end_document()?;
            self.begin_document(hash);
            let starts_document = !is_continuation && self.special_tokens.begins_text(ids);
            let bos = if starts_document { vec![] } else { vec![self.special_tokens.bos] };
            self.append_tokens(&bos)?;
        }
        self.documents.bytes += num_bytes as u64;
        self.append_tokens(ids)
    }

    /// Appends tokens to the open document, to the store and to the fingerprint.
    fn append_tokens(&mut self, ids: &[u32]) -> Result<(), DataError> {
        self.hash_ids(ids);
        self.open_length = Some(self.open_length.unwrap_or(0) + ids.len() as u32);
        self.documents.tokens.push(ids)
    }

    /// Adds values to the fingerprint.
    fn hash_ids(&mut self, ids: &[u32]) {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.hasher.update(bytes);
    }

    /// Closes the open document, if there is one, with `<eos>`.
    fn end_document(&mut self) -> Result<(), DataError> {
        if self.open_length.is_none() {
            return Ok(());
        }
        self.append_tokens(&[self.special_tokens.eos])?;
        self.documents.document_lengths.extend(self.open_length.take());
        Ok(())
    }

    /// Closes the last document and computes the fingerprint.
    pub fn finish(mut self) -> Result<TokenizedDocuments, DataError> {
        self.end_document()?;
        self.end_part();
        self.documents.fingerprint = crate::to_hex(&self.hasher.finalize());
        Ok(self.documents)
    }
}
