//! The built-in recipe that fits the data of `--data`, if no recipe is named.

use super::{error::CliError, model_args::model_source, output::print_message};
use kiln_data::{DataConfig, Dataset, ExampleKind, FilesConfig, SourceConfig};
use std::path::Path;

/// The recipe for examples of a kind; `None` for texts, and for kinds that no recipe trains on.
fn recipe_of_kind(kind: ExampleKind) -> Option<&'static str> {
    match kind {
        ExampleKind::Text | ExampleKind::Labeled => None,
        ExampleKind::Chat => Some("chat"),
        ExampleKind::PromptCompletion => Some("completion"),
        ExampleKind::Preference => Some("dpo"),
        ExampleKind::Pair => Some("contrastive"),
    }
}

/// The name of the recipe for these files: by the kind of their rows, `finetune` for texts with a model to start from, `text`
/// without. The choice is printed if it is not that of texts.
///
/// # Errors
/// If a file cannot be read, its format is not recognized, or the files hold examples of different kinds.
pub fn recipe_for_data(files: &FilesConfig, from: Option<&Path>) -> Result<&'static str, CliError> {
    let default = if from.is_some() { "finetune" } else { "text" };
    let data = DataConfig { source: SourceConfig::Files(files.clone()), ..DataConfig::default() };
    let dataset = Dataset::open(&data, &|| false)?;
    let has_template = match from {
        Some(from) => model_source(from)?.chat_template()?.is_some(),
        None => false,
    };
    let found = dataset.summaries().next().map(|summary| (summary.format, summary.kind(has_template)));
    let Some((format, kind)) = found else { return Ok(default) };
    let Some(recipe) = recipe_of_kind(kind) else { return Ok(default) };
    print_message(&format!(
        "the data are {} (format `{format}`): training with the recipe `{recipe}`; for another, name it: kiln train RECIPE",
        kind.name()
    ));
    Ok(recipe)
}
