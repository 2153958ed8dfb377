//! Check of the data before a run: formats, kinds of examples and first rows. No weights are read.

use super::{
    data::{open_data_in, read_labeled_as_text_in},
    objectives::ObjectiveFactory,
    progress::{ProgressEvent, ProgressListener},
};
use crate::{Objective, Recipe, TrainError, pretrained::ModelSource, storage::Storage};
use kiln_data::{ChatTemplate, DataConfig, DataError, Dataset, ExampleFormat, ExampleKind, StopSignal};
use std::path::Path;

/// Checks that the data, the tokenizer and the model to start from exist, that each objective reads the kind of its examples, and
/// the first rows of each file. The formats that were recognized are reported and written into the recipe.
///
/// # Errors
/// The first that is missing or unreadable, [`DataError::WrongKind`], bad rows, or [`DataError::Stopped`].
pub(super) fn check_sources(
    recipe: &mut Recipe,
    objectives: ObjectiveFactory,
    storage: &dyn Storage,
    stop: StopSignal,
    listener: &mut dyn ProgressListener,
) -> Result<(), TrainError> {
    let template = match &recipe.from {
        Some(from) => ModelSource::open(Path::new(from))?.chat_template()?,
        None => {
            recipe.tokenizer.ensure_readable()?;
            None
        }
    };
    let mut checked: Vec<(DataConfig, DataConfig)> = Vec::new();
    for index in 0..recipe.stages.len() {
        let objective = objectives(&recipe.stages[index]);
        let data = recipe.stages[index].data_config(recipe).clone();
        let resolved = check_data(&data, storage, &*objective, template.as_ref(), stop)?;
        let (resolved, dataset) = resolved;
        if !checked.iter().any(|(known, as_read)| *known == data && *as_read == resolved) {
            dataset.check(template.as_ref(), stop)?;
            let examples =
                dataset.summaries().filter(|summary| !summary.format.is_text() || !summary.fields.is_empty());
            examples.for_each(|summary| listener.on_event(ProgressEvent::DataRecognized(summary)));
            checked.push((data.clone(), resolved.clone()));
        }
        if resolved == data {
            continue;
        }
        // Stages with the data of the recipe share them, unless another objective reads them in another way.
        let is_shared = recipe.stages[index].data.is_none();
        if is_shared && recipe.stages.len() == 1 {
            recipe.data = resolved;
        } else {
            recipe.stages[index].data = Some(resolved);
        }
    }
    Ok(())
}

/// Opens the data of a stage for its objective. Returns the configuration with the recognized formats, too.
fn check_data<'a>(
    data: &DataConfig,
    storage: &dyn Storage,
    objective: &dyn Objective,
    template: Option<&ChatTemplate>,
    stop: StopSignal<'a>,
) -> Result<(DataConfig, Dataset<'a>), TrainError> {
    let accepted = objective.accepts();
    let mut dataset = open_data_in(data, storage, stop)?;
    if !accepted.contains(&ExampleKind::Labeled) && accepted.contains(&ExampleKind::Text) {
        read_labeled_as_text_in(&mut dataset, data, storage, stop)?;
    }
    let mixture = data.mixture()?;
    for (summary, source) in dataset.summaries().zip(&mixture) {
        let found = summary.kind(template.is_some() || source.template.is_some());
        if !accepted.contains(&found) {
            let (origin, format) = (summary.origin.clone(), summary.format);
            let objective = objective.name();
            return Err(DataError::WrongKind { origin, format, found, objective, expected: accepted }.into());
        }
    }
    Ok((with_formats(data, dataset.summaries().map(|summary| summary.format)), dataset))
}

/// The configuration with the formats of examples that were recognized. Text stays `auto`.
fn with_formats(data: &DataConfig, formats: impl Iterator<Item = ExampleFormat>) -> DataConfig {
    let mut data = data.clone();
    let formats: Vec<ExampleFormat> = formats.collect();
    let named = |format: &mut ExampleFormat, found: ExampleFormat| {
        if *format == ExampleFormat::Auto && !found.is_text() {
            *format = found;
        }
    };
    if data.sources.is_empty() {
        formats.iter().for_each(|found| named(&mut data.format, *found));
    } else if data.format == ExampleFormat::Auto {
        data.sources.iter_mut().zip(formats).for_each(|(source, found)| named(&mut source.format, found));
    }
    data
}
