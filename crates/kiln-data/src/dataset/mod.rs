//! [`Dataset`]: the sources of a `[data]` table, opened: texts and examples, their formats, splits and templates.

mod build;
mod inspect;
mod stoppable;
mod template;
#[cfg(feature = "files")]
mod template_file;
#[cfg(test)]
mod tests;

use crate::{
    ChatTemplate, DataConfig, DataError, ExampleFormat, ExampleKind, MixtureSource, ReadFile, Source, SourceConfig,
    StopSignal, StoppableSource,
    example::{ExampleEncoder, ExampleFiles, ExampleSource, LocatedExample, encode::example_of_kind},
    source::{
        files::{FileSource, entry::FileLocation},
        report::{ReadReport, group_digits},
    },
};
pub use inspect::{Inspection, LengthBin, Sample, SampleSequence};
use std::fmt;
use stoppable::StoppableExamples;
use template::TemplateChoice;
pub use template::{CHATML, named_template};

/// The sources of a [`DataConfig`], opened. Their formats are known; their rows are read later, as often as needed.
pub struct Dataset<'a> {
    parts: Vec<DatasetPart<'a>>,
    /// A validation source of its own.
    validation: Option<DatasetPart<'a>>,
    validation_fraction: f64,
}

/// A source of a dataset.
struct DatasetPart<'a> {
    reader: PartReader<'a>,
    weight: f64,
    template: TemplateChoice,
    summary: SourceSummary,
}

/// Reader of a source.
enum PartReader<'a> {
    Text(Box<dyn Source + 'a>),
    Examples(Box<dyn ExampleSource + 'a>),
}

/// What a source holds, as far as its first rows tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSummary {
    /// Description, such as the paths.
    pub origin: String,
    /// Format that was named or recognized.
    pub format: ExampleFormat,
    /// Whether it was recognized, and not named.
    pub is_recognized: bool,
    /// Fields by which it was recognized.
    pub fields: Vec<String>,
}

impl SourceSummary {
    /// Kind of the examples for a model with or without a chat template.
    pub fn kind(&self, has_template: bool) -> ExampleKind {
        self.format.kind(has_template)
    }
}

/// ``chats.jsonl: format messages (conversations), recognized by the fields `messages`, `id` ``
impl fmt::Display for SourceSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: format {}", self.origin, self.format)?;
        if !self.is_recognized {
            return f.write_str(" (as named)");
        }
        if self.fields.is_empty() {
            return Ok(());
        }
        let fields: Vec<String> = self.fields.iter().take(6).map(|name| format!("`{name}`")).collect();
        let more = self.fields.len() - fields.len();
        write!(f, ", recognized by the fields {}", fields.join(", "))?;
        if more > 0 { write!(f, " and {} more", group_digits(more as u64)) } else { Ok(()) }
    }
}

impl<'a> Dataset<'a> {
    /// Opens all sources and recognizes their formats by their first rows. Reading ends with [`DataError::Stopped`] when `stop`
    /// returns true.
    ///
    /// # Errors
    /// [`DataError::Config`] for weights and sizes, errors of paths and templates, [`DataError::AmbiguousFormat`],
    /// [`DataError::MixedFormats`].
    pub fn open(config: &DataConfig, stop: StopSignal<'a>) -> Result<Self, DataError> {
        Self::open_from(config, None, stop)
    }

    /// [`open`](Self::open) where the files of the sources are not in the file system: `read` returns their contents. Each path is
    /// that of a file.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`DataError::UnsupportedFile`] for Parquet and compressed files.
    pub fn open_in_memory(config: &DataConfig, read: ReadFile, stop: StopSignal<'a>) -> Result<Self, DataError> {
        Self::open_from(config, Some(read), stop)
    }

    fn open_from(config: &DataConfig, read: Option<ReadFile>, stop: StopSignal<'a>) -> Result<Self, DataError> {
        let mixture = config.mixture()?;
        let parts = mixture.iter().map(|source| DatasetPart::open(source, read, stop));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let validation = match &config.validation_source {
            None => None,
            Some(source) => {
                let MixtureSource { format, template, .. } = mixture[0].clone();
                let source = MixtureSource { source: source.clone(), weight: 1.0, format, template };
                Some(DatasetPart::open(&source, read, stop)?)
            }
        };
        let dataset = Self { parts, validation, validation_fraction: config.validation };
        dataset.check_validation_format()?;
        Ok(dataset)
    }

    /// The validation source has the format of a training source.
    fn check_validation_format(&self) -> Result<(), DataError> {
        let Some(validation) = &self.validation else { return Ok(()) };
        let format = validation.summary.format;
        if self.parts.iter().any(|part| part.summary.format == format) {
            return Ok(());
        }
        let training = &self.parts[0].summary;
        let formats = Box::new([training.format, format]);
        let path = validation.summary.origin.clone();
        Err(DataError::MixedFormats { path, other: training.origin.clone(), formats })
    }

    /// What the training sources hold.
    pub fn summaries(&self) -> impl Iterator<Item = &SourceSummary> {
        self.parts.iter().map(|part| &part.summary)
    }

    /// Uses the rows of a source with the format `labeled` as plain text, for an objective that reads texts and no labels. `read`
    /// is that of [`open_in_memory`](Self::open_in_memory); `None` for files of the file system.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read_labeled_as_text(
        &mut self,
        config: &DataConfig,
        read: Option<ReadFile>,
        stop: StopSignal<'a>,
    ) -> Result<(), DataError> {
        let mixture = config.mixture()?;
        for (part, source) in self.parts.iter_mut().zip(mixture) {
            if part.summary.format == ExampleFormat::Labeled && part.summary.is_recognized {
                let fields = std::mem::take(&mut part.summary.fields);
                *part = DatasetPart::open(&MixtureSource { format: ExampleFormat::Text, ..source }, read, stop)?;
                part.summary.fields = fields;
            }
        }
        Ok(())
    }

    /// Checks the first rows of each file, so that errors are found before any long work: fields, types, and whether the chat
    /// template renders the conversations. `model_template` is the template of the model, if it has one.
    ///
    /// # Errors
    /// Errors that a pass over these rows would give, the bad rows all in one.
    pub fn check(&self, model_template: Option<&ChatTemplate>, stop: StopSignal) -> Result<(), DataError> {
        for part in self.parts.iter().chain(&self.validation) {
            let template = part.template.resolve(model_template, None)?;
            match &part.reader {
                PartReader::Text(source) => source.check(stop)?,
                PartReader::Examples(source) => {
                    let kind = part.summary.kind(template.is_some());
                    source.check(stop, &|example: &LocatedExample| {
                        ExampleEncoder::check(&example_of_kind(example.clone(), kind), template.as_ref())
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Description of all training sources.
    pub fn describe(&self) -> String {
        self.parts.iter().map(|part| part.summary.origin.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Report of the last pass over all sources.
    pub fn report(&self) -> ReadReport {
        ReadReport::merge(self.parts.iter().chain(&self.validation).map(|part| match &part.reader {
            PartReader::Text(source) => source.report(),
            PartReader::Examples(source) => source.report(),
        }))
    }
}

impl<'a> DatasetPart<'a> {
    fn open(config: &MixtureSource, read: Option<ReadFile>, stop: StopSignal<'a>) -> Result<Self, DataError> {
        let (format, fields) = match (&config.source, config.format) {
            (SourceConfig::Stories(_), _) => (ExampleFormat::Text, Vec::new()),
            (SourceConfig::Files(files), ExampleFormat::Auto) => {
                let detected = ExampleFiles::detect_at(files, location(read)?)?;
                (detected.format, detected.fields)
            }
            (_, format) => (format, Vec::new()),
        };
        let reader = match &config.source {
            SourceConfig::Files(files) if format.is_text() => {
                let source = FileSource::open_at(files, location(read)?)?;
                PartReader::Text(Box::new(StoppableSource::new(Box::new(source), stop)))
            }
            SourceConfig::Files(files) => {
                let source = ExampleFiles::open_at(files, format, location(read)?)?;
                PartReader::Examples(Box::new(StoppableExamples::new(Box::new(source), stop)))
            }
            stories if format.is_text() => PartReader::Text(Box::new(StoppableSource::new(stories.open()?, stop))),
            SourceConfig::Stories(_) => {
                let expected = "`text` or `auto` for the built-in stories".into();
                return Err(DataError::Config { key: "data.format", found: config.format.to_string(), expected });
            }
        };
        let origin = match &reader {
            PartReader::Text(source) => source.describe(),
            PartReader::Examples(source) => source.describe(),
        };
        let is_recognized = config.format == ExampleFormat::Auto;
        let summary = SourceSummary { origin, format, is_recognized, fields };
        let template = TemplateChoice::open(config.template.as_deref())?;
        Ok(Self { reader, weight: config.weight, template, summary })
    }
}

/// Where the files of a source are: what `read` reads, or else the file system.
fn location(read: Option<ReadFile<'_>>) -> Result<FileLocation<'_>, DataError> {
    match read {
        Some(read) => Ok(FileLocation::Memory(read)),
        #[cfg(feature = "files")]
        None => Ok(FileLocation::Disk),
        #[cfg(not(feature = "files"))]
        None => {
            let expected = "`stories`, because this build has no support for files (feature `files`)".into();
            Err(DataError::Config { key: "data.source", found: "files".into(), expected })
        }
    }
}
