//! Dataset → corpus, and the texts of its subsets.

use super::{Dataset, DatasetPart, PartReader};
use crate::{
    ChatTemplate, Corpus, CorpusBuilder, DataError, DiskSpace, Subset, Tokenizer, ValidationSplit,
    example::ExampleEncoder,
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
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Corpus, DataError> {
        let mut builder = CorpusBuilder::new(tokenizer, disk_space);
        for part in &self.parts {
            let split = self.split(part)?;
            part.add_to(&mut builder, &split, (tokenizer, model_template), &mut progress)?;
        }
        if let Some(validation) = &self.validation {
            let split = ValidationSplit::unsplit(Subset::Validation);
            validation.add_to(&mut builder, &split, (tokenizer, model_template), &mut progress)?;
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
            part.add_to(&mut builder, &ValidationSplit::unsplit(subset), (tokenizer, model_template), &mut progress)?;
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
    fn add_to(
        &self,
        builder: &mut CorpusBuilder,
        split: &ValidationSplit,
        (tokenizer, model_template): (&Tokenizer, Option<&ChatTemplate>),
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), DataError> {
        match &self.reader {
            PartReader::Text(source) => match builder.add_text(&**source, split, self.weight, progress)? {
                0 => Err(DataError::NoText { origin: source.describe() }),
                _ => Ok(()),
            },
            PartReader::Examples(source) => {
                let template = self.template.resolve(model_template, Some(tokenizer))?;
                let encoder = ExampleEncoder::new(tokenizer, template.as_ref());
                let kind = self.summary.kind(template.is_some());
                builder.add_examples(&**source, split, &encoder, (kind, self.weight), progress)
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
