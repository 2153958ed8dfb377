//! Dataset → corpus, and the texts of its subsets.

use super::{Dataset, DatasetPart, PartReader};
use crate::{
    ChatTemplate, Corpus, CorpusBuilder, DataError, DiskSpace, Subset, Tokenizer, ValidationSplit,
    example::ExampleEncoder,
    pause::{Pause, complete, no_pause},
};

/// Texts of a subset, in the order of the sources.
pub type Texts<'a> = Box<dyn Iterator<Item = Result<String, DataError>> + 'a>;

impl Dataset<'_> {
    /// Reads and tokenizes all sources. `model_template` is the chat template of the model, if it has one.
    ///
    /// `progress(done, total)` is called about once per MiB: bytes of text so far, and the size of the source if it is known.
    ///
    /// # Errors
    /// [`DataError::NoText`] or [`DataError::NoExamples`] for a source of which nothing is left, errors of rows and of the
    /// tokenizer, as in [`CorpusBuilder::add_text`] and [`CorpusBuilder::add_examples`].
    pub fn build_corpus(
        &self,
        tokenizer: &Tokenizer,
        model_template: Option<&ChatTemplate>,
        disk_space: &DiskSpace,
        progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Corpus, DataError> {
        complete(self.build_corpus_async(tokenizer, model_template, disk_space, progress, no_pause))
    }

    /// [`build_corpus`](Self::build_corpus) with pauses.
    ///
    /// # Errors
    /// As [`build_corpus`](Self::build_corpus), and those of the pause.
    pub async fn build_corpus_async(
        &self,
        tokenizer: &Tokenizer,
        model_template: Option<&ChatTemplate>,
        disk_space: &DiskSpace,
        mut progress: impl FnMut(u64, Option<u64>),
        mut pause: impl Pause,
    ) -> Result<Corpus, DataError> {
        let mut builder = CorpusBuilder::new(tokenizer, disk_space);
        for part in &self.parts {
            let split = self.split(part)?;
            part.add_to(&mut builder, &split, (tokenizer, model_template), &mut progress, &mut pause).await?;
        }
        if let Some(validation) = &self.validation {
            let split = ValidationSplit::unsplit(Subset::Validation);
            validation.add_to(&mut builder, &split, (tokenizer, model_template), &mut progress, &mut pause).await?;
        }
        builder.finish()
    }

    /// Reads and tokenizes all sources as one subset, unsplit.
    ///
    /// # Errors
    /// As [`build_corpus`](Self::build_corpus).
    pub fn build_unsplit(
        &self,
        subset: Subset,
        tokenizer: &Tokenizer,
        model_template: Option<&ChatTemplate>,
        disk_space: &DiskSpace,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Corpus, DataError> {
        let mut builder = CorpusBuilder::new(tokenizer, disk_space);
        for part in &self.parts {
            let split = ValidationSplit::unsplit(subset);
            complete(part.add_to(&mut builder, &split, (tokenizer, model_template), &mut progress, &mut no_pause))?;
        }
        builder.finish()
    }

    /// The texts of one subset, in the order of the sources: documents, or the texts of an example joined by line ends.
    ///
    /// # Errors
    /// Errors of the sources: here if one cannot be opened, as items if reading fails later.
    pub fn texts(&self, subset: Subset) -> Result<Texts<'_>, DataError> {
        let mut texts: Texts = Box::new(std::iter::empty());
        for part in &self.parts {
            if self.validation.is_some() && subset == Subset::Validation {
                continue;
            }
            texts = Box::new(texts.chain(part.texts(self.split(part)?, subset)?));
        }
        if let (Some(validation), Subset::Validation) = (&self.validation, subset) {
            texts = Box::new(texts.chain(validation.texts(ValidationSplit::unsplit(subset), subset)?));
        }
        Ok(texts)
    }

    /// The split of a training source.
    fn split(&self, part: &DatasetPart) -> Result<ValidationSplit, DataError> {
        match &part.reader {
            _ if self.validation.is_some() => Ok(ValidationSplit::unsplit(Subset::Training)),
            PartReader::Text(source) => ValidationSplit::new(&**source, self.validation_fraction),
            PartReader::Examples(source) => ValidationSplit::of_examples(&**source, self.validation_fraction),
        }
    }
}

impl DatasetPart<'_> {
    /// Adds the source to a corpus.
    async fn add_to(
        &self,
        builder: &mut CorpusBuilder<'_>,
        split: &ValidationSplit,
        (tokenizer, model_template): (&Tokenizer, Option<&ChatTemplate>),
        progress: &mut dyn FnMut(u64, Option<u64>),
        pause: &mut impl Pause,
    ) -> Result<(), DataError> {
        match &self.reader {
            PartReader::Text(source) => {
                match builder.add_text_async(&**source, split, self.weight, progress, pause).await? {
                    0 => Err(DataError::NoText { origin: source.describe() }),
                    _ => Ok(()),
                }
            }
            PartReader::Examples(source) => {
                let template = self.template.resolve(model_template, Some(tokenizer))?;
                let encoder = ExampleEncoder::new(tokenizer, template.as_ref());
                let kind = self.summary.kind(template.is_some());
                builder.add_examples_async(&**source, split, &encoder, (kind, self.weight), progress, pause).await
            }
        }
    }

    /// The texts of a subset.
    fn texts(&self, split: ValidationSplit, subset: Subset) -> Result<Texts<'_>, DataError> {
        Ok(match &self.reader {
            PartReader::Text(source) => Box::new(split.texts(&**source, subset)?),
            PartReader::Examples(source) => Box::new(source.examples()?.filter_map(move |example| match example {
                Ok(located) if split.subset_of(located.example.hash()) != subset => None,
                Ok(located) => Some(Ok(located.example.texts().join("\n"))),
                Err(error) => Some(Err(error)),
            })),
        })
    }
}
