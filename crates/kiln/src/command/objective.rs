//! `kiln objective`: the training objectives, and examples of their inputs, targets and attention masks.
//!
//! ```console
//! kiln objective list
//! kiln objective show masked --set rate=0.3
//! ```
//!
//! JSON: `list` gives `{"objectives":[{"name","about"}]}`; `show` gives
//! `{"objective","examples":[{"mode","tokens":[{"before","given","asked"}],"visible"}]}` with one string of 0 and 1 per query.

use super::{
    color::TextStyle,
    error::CliError,
    model_summary,
    objective_example::{self, TextExample},
    output::CommandOutput,
    recipe_source,
    table::format_table,
};
use crate::page::{ExampleToken, PatternMask};
use burn::tensor::Device;
use kiln_data::{
    DataConfig, FilesConfig, SourceConfig, Subset, Tokenizer, TokenizerConfig, ValidationSplit,
    source::stories::StoriesConfig,
};
use kiln_models::{Model, ModelConfig};
use kiln_spec::config::{Choice, closest_match, explain};
use kiln_train::{Models, ObjectiveConfig, Recipe};
use serde_json::{Value, json};

/// Subcommands of `kiln objective`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the training objectives.
    List,
    /// Show an example: inputs, targets and attention mask.
    Show(ShowArgs),
}

/// Arguments of `kiln objective show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Objective name, such as `masked`.
    name: String,
    /// Text file or folder to use instead of a built-in story; the first document is shown. May be repeated.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// Override an option of the objective, such as `rate=0.3` or `unit=span`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Random seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Maximum width of a line of tokens, in characters.
const LINE_WIDTH: usize = 96;
/// Megabytes of stories that the tokenizer of an example is trained on.
const STORY_MEGABYTES: f64 = 0.3;
/// Names of the three lines of tokens.
const LINE_NAMES: [&str; 3] = ["text    ", "input   ", "target  "];

/// Runs a subcommand.
pub fn run(command: &Command) -> Result<CommandOutput, CliError> {
    match command {
        Command::List => Ok(list_objectives()),
        Command::Show(args) => args.show(),
    }
}

/// Description of each objective, from the schema of the recipe.
///
/// The description is the doc comment of the objective in its configuration.
fn objective_descriptions() -> Vec<(String, String)> {
    let keys = explain(&Recipe::schema());
    let mut descriptions = Vec::new();
    for name in ObjectiveConfig::NAMES {
        let path = format!("stages[].objective.{name}");
        let key = keys.iter().find(|key| key.path == path);
        descriptions.push(((*name).to_string(), key.map(|key| key.description.clone()).unwrap_or_default()));
    }
    descriptions
}

/// A line per objective, in the order of the configuration.
fn list_objectives() -> CommandOutput {
    let objectives = objective_descriptions();
    let rows: Vec<Vec<String>> = objectives.iter().map(|(name, text)| vec![name.clone(), text.clone()]).collect();
    let json: Vec<Value> = objectives.iter().map(|(name, text)| json!({ "name": name, "about": text })).collect();
    CommandOutput::new(json!({ "objectives": json }), format_table(&["objective", "description"], &rows, &[]))
}

impl ShowArgs {
    /// Trains a small tokenizer on the text, makes one batch of its first document, and prints the batch. The model
    /// is untrained: it only takes part because objectives may use one.
    fn show(&self) -> Result<CommandOutput, CliError> {
        let objective = self.objective()?;
        let source = self.data_config().source.open()?;
        let all = ValidationSplit::unsplit(Subset::Validation);
        let tokenizer = Tokenizer::train(&TokenizerConfig::default(), all.texts(&*source, Subset::Validation)?)?;
        let model = ModelConfig { vocab: tokenizer.vocab_size(), hidden: 8, ..ModelConfig::default() };
        let models = Models { policy: Model::init(&model, 0, &Device::flex()) };
        let text = all.texts(&*source, Subset::Validation)?.next().transpose()?.unwrap_or_default();
        let examples = objective_example::text_examples(&text, &objective, &models, &tokenizer, self.seed);
        let style = TextStyle::for_stdout();
        let description = objective_descriptions().into_iter().find(|(name, _)| *name == objective.name());
        let description = description.map(|(_, text)| text).unwrap_or_default();
        let mut parts = vec![format!("{}: {description}", style.bold(objective.name()))];
        parts.extend(examples.iter().map(|example| format_example(example, style)));
        let json: Vec<Value> = examples.iter().map(example_json).collect();
        Ok(CommandOutput::new(json!({ "objective": objective.name(), "examples": json }), parts.join("\n\n")))
    }

    /// The objective with its options, checked as part of a recipe.
    fn objective(&self) -> Result<ObjectiveConfig, CliError> {
        let is_alias = ObjectiveConfig::ALIASES.iter().any(|(alias, _)| *alias == self.name);
        if !is_alias && !ObjectiveConfig::NAMES.contains(&self.name.as_str()) {
            let help = match closest_match(&self.name, ObjectiveConfig::NAMES.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "see `kiln objective list`".into(),
            };
            return Err(CliError::usage(format!("unknown objective `{}`", self.name)).with_help(help));
        }
        let mut sets = vec![format!("stages.0.objective={}", self.name)];
        sets.extend(self.set.iter().map(|set| format!("stages.0.objective.{}.{set}", self.name)));
        let mut recipe = recipe_source::load(recipe_source::BUILT_IN_RECIPES[0].name, &sets)?;
        Ok(recipe.stages.swap_remove(0).objective)
    }

    /// The files of `--data`, or built-in stories that depend on the seed.
    fn data_config(&self) -> DataConfig {
        let source = if self.data.is_empty() {
            SourceConfig::Stories(StoriesConfig { seed: self.seed, megabytes: STORY_MEGABYTES })
        } else {
            SourceConfig::Files(FilesConfig::new(&self.data))
        };
        DataConfig { source, ..DataConfig::default() }
    }
}

/// The tokens in columns of text, input and target, and the attention mask below them.
fn format_example(example: &TextExample, style: TextStyle) -> String {
    let title = if example.mode.is_empty() { String::new() } else { format!("{}\n", style.bold(example.mode)) };
    let mask = model_summary::draw_pattern(&example.pattern);
    let mask: Vec<String> = mask.into_iter().map(|line| format!("  {line}")).collect();
    format!("{title}{}\n{}:\n{}", format_columns(example, style), example.pattern.title, mask.join("\n"))
}

/// Lines are broken after [`LINE_WIDTH`] characters. `·` marks positions without a target.
fn format_columns(example: &TextExample, style: TextStyle) -> String {
    let mut blocks = Vec::new();
    let mut lines = [const { String::new() }; 3];
    let mut line_width = 0;
    for (token, original) in example.tokens.iter().zip(&example.original) {
        let target = token.target.as_deref().unwrap_or("·");
        let cells = [original.as_str(), &token.input, target];
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        if line_width + width > LINE_WIDTH {
            blocks.push(label_lines(&lines));
            lines = [const { String::new() }; 3];
            line_width = 0;
        }
        line_width += width + 2;
        let [text, input, target] = cells.map(|cell| format!("{cell}{}", " ".repeat(width - cell.chars().count() + 2)));
        lines[0] += &text;
        lines[1] += &if *original == token.input { input } else { style.changed(&input) };
        lines[2] += &if token.target.is_some() { style.target(&target) } else { target };
    }
    blocks.push(label_lines(&lines));
    blocks.join("\n")
}

/// The three lines with their names, without spaces at the end.
fn label_lines(lines: &[String; 3]) -> String {
    LINE_NAMES.iter().zip(lines).map(|(name, line)| format!("{name}{}\n", line.trim_end())).collect()
}

/// An example in the JSON result.
fn example_json(example: &TextExample) -> Value {
    let tokens = example.tokens.iter().zip(&example.original);
    json!({
        "mode": example.mode,
        "tokens": tokens.map(|(token, original)| token_json(token, original)).collect::<Vec<_>>(),
        "visible": visibility_rows(&example.pattern),
    })
}

/// A position of an example: token of the text, input and target.
fn token_json(token: &ExampleToken, original: &str) -> Value {
    json!({ "before": original, "given": token.input, "asked": token.target })
}

/// One string per query, with 1 for each visible key and 0 for the others.
fn visibility_rows(mask: &PatternMask) -> Vec<String> {
    let cell = |query, key| if mask.is_visible(query, key) { '1' } else { '0' };
    (0..mask.size).map(|query| (0..mask.size).map(|key| cell(query, key)).collect()).collect()
}
