//! Building of a corpus from several sources.

use super::{Corpus, Subset, ValidationSplit, documents::DocumentWriter, storage::DiskSpace};
use crate::{
    DataError, ExampleKind, Source, Tokenizer,
    example::{
        ExampleEncoder, ExampleSource, LocatedExample,
        encode::{Encoded, example_of_kind},
    },
    pause::{Pause, complete, no_pause},
    source::report::Omissions,
    tokenizer::CachingEncoder,
};

/// Bytes of text between two calls of the progress function.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Bytes of text between two pauses: some milliseconds.
const PAUSE_BYTES: u64 = 32 << 10;

/// Builder of a [`Corpus`]: source after source.
pub struct CorpusBuilder<'a> {
    tokenizer: &'a Tokenizer,
    training: DocumentWriter,
    validation: DocumentWriter,
    kind: Option<ExampleKind>,
    without_answer: Omissions,
    done_bytes: u64,
    reported_bytes: u64,
    /// Bytes at the last pause.
    paused_bytes: u64,
}

impl<'a> CorpusBuilder<'a> {
    /// A builder without documents.
    pub fn new(tokenizer: &'a Tokenizer, disk_space: &DiskSpace) -> Self {
        Self {
            tokenizer,
            training: DocumentWriter::new(disk_space, tokenizer),
            validation: DocumentWriter::new(disk_space, tokenizer),
            kind: None,
            without_answer: Omissions::default(),
            done_bytes: 0,
            reported_bytes: 0,
            paused_bytes: 0,
        }
    }

    /// Begins the documents of a source in both subsets.
    fn begin_part(&mut self, origin: &str, kind: ExampleKind, weight: f64) -> Result<(), DataError> {
        self.kind.get_or_insert(kind);
        self.training.begin_part(origin, kind, weight, self.tokenizer)?;
        self.validation.begin_part(origin, kind, weight, self.tokenizer)
    }

    /// Adds a source of text, with its share `weight` of a mixture, and returns the number of its bytes.
    ///
    /// `progress(done, total)` is called about once per MiB and at the end: bytes of text so far, and the size of the source if
    /// it is known.
    ///
    /// # Errors
    /// As [`Corpus::build`], except that a source without text is none.
    pub fn add_text(
        &mut self,
        source: &dyn Source,
        split: &ValidationSplit,
        weight: f64,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<u64, DataError> {
        complete(self.add_text_async(source, split, weight, progress, &mut no_pause))
    }

    /// [`add_text`](Self::add_text) with pauses.
    ///
    /// # Errors
    /// As [`add_text`](Self::add_text), and those of the pause.
    pub async fn add_text_async(
        &mut self,
        source: &dyn Source,
        split: &ValidationSplit,
        weight: f64,
        progress: &mut dyn FnMut(u64, Option<u64>),
        pause: &mut impl Pause,
    ) -> Result<u64, DataError> {
        self.begin_part(&source.describe(), ExampleKind::Text, weight)?;
        let before = self.done_bytes;
        let tokenizer = self.tokenizer;
        let mut encoder = CachingEncoder::new(tokenizer);
        for assigned in split.assigned_documents(source)? {
            let assigned = assigned?;
            let text = &assigned.document.text;
            let (writer, hash) = match assigned.subset {
                Subset::Training => (&mut self.training, None),
                Subset::Validation => (&mut self.validation, Some(assigned.hash)),
            };
            let ids = encoder.encode(text);
            tokenizer.check_rows(&ids, tokenizer.vocabulary().model_rows())?;
            writer.push(&ids, text.len(), assigned.document.is_continuation, hash)?;
            if self.count_bytes(text.len(), source.size_bytes(), progress) {
                pause().await?;
            }
        }
        progress(self.done_bytes, source.size_bytes());
        Ok(self.done_bytes - before)
    }

    /// Adds a source of examples of one kind, with its share `weight` of a mixture. Examples without anything to train on are
    /// left out and counted.
    ///
    /// # Errors
    /// [`DataError::NoExamples`] if none is left, errors of the source, and those of [`ExampleEncoder::encode`], unless the
    /// source leaves bad rows out.
    pub fn add_examples(
        &mut self,
        source: &dyn ExampleSource,
        split: &ValidationSplit,
        encoder: &ExampleEncoder,
        (kind, weight): (ExampleKind, f64),
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), DataError> {
        complete(self.add_examples_async(source, split, encoder, (kind, weight), progress, &mut no_pause))
    }

    /// [`add_examples`](Self::add_examples) with pauses.
    ///
    /// # Errors
    /// As [`add_examples`](Self::add_examples), and those of the pause.
    pub async fn add_examples_async(
        &mut self,
        source: &dyn ExampleSource,
        split: &ValidationSplit,
        encoder: &ExampleEncoder<'_>,
        (kind, weight): (ExampleKind, f64),
        progress: &mut dyn FnMut(u64, Option<u64>),
        pause: &mut impl Pause,
    ) -> Result<(), DataError> {
        self.begin_part(&source.describe(), kind, weight)?;
        let mut left_out = Omissions::default();
        let mut num_examples = 0_u64;
        for example in source.examples()? {
            let example = example_of_kind(example?, kind);
            let num_bytes: usize = example.example.texts().iter().map(|text| text.len()).sum();
            match encoder.encode(&example) {
                Ok(Encoded::Groups(groups)) => {
                    num_examples += 1;
                    self.push_groups(&groups, split, example.example.hash(), kind)?;
                }
                Ok(Encoded::NoAnswer) => {
                    let LocatedExample { path, line, .. } = &example;
                    let message = format!("{path}:{line}: nothing to train on (no answer of the assistant)");
                    left_out.add_message(&message);
                    self.without_answer.add_message(&message);
                }
                Err(error) => {
                    let text = error.to_string();
                    source.skip_or_return(error)?;
                    left_out.add_message(text);
                }
            }
            if self.count_bytes(num_bytes, None, progress) {
                pause().await?;
            }
        }
        if num_examples == 0 {
            return Err(DataError::NoExamples { origin: source.describe(), left_out });
        }
        progress(self.done_bytes, None);
        Ok(())
    }

    /// Adds the groups of an example to the subset of its hash.
    fn push_groups(
        &mut self,
        groups: &[Vec<crate::example::EncodedSequence>],
        split: &ValidationSplit,
        hash: u64,
        kind: ExampleKind,
    ) -> Result<(), DataError> {
        let (writer, hash) = match split.subset_of(hash) {
            Subset::Training => (&mut self.training, None),
            Subset::Validation => (&mut self.validation, Some(hash)),
        };
        for group in groups {
            match group.as_slice() {
                [text] if !kind.is_whole() => writer.push(&text.tokens, text.num_bytes, false, hash)?,
                group => writer.push_group(group, hash)?,
            }
        }
        Ok(())
    }

    /// Counts bytes that were read, and reports them about once per MiB. Returns whether a pause is due.
    fn count_bytes(
        &mut self,
        num_bytes: usize,
        total: Option<u64>,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> bool {
        self.done_bytes += num_bytes as u64;
        if self.done_bytes - self.reported_bytes >= PROGRESS_BYTES {
            self.reported_bytes = self.done_bytes;
            progress(self.done_bytes, total);
        }
        let is_due = self.done_bytes - self.paused_bytes >= PAUSE_BYTES;
        if is_due {
            self.paused_bytes = self.done_bytes;
        }
        is_due
    }

    /// The corpus of all sources.
    ///
    /// # Errors
    /// Errors of the scratch file.
    pub fn finish(self) -> Result<Corpus, DataError> {
        Ok(Corpus {
            training: self.training.finish()?,
            validation: self.validation.finish()?,
            vocabulary: self.tokenizer.vocabulary().clone(),
            kind: self.kind.unwrap_or(ExampleKind::Text),
            without_answer: self.without_answer,
        })
    }
}
