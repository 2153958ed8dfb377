//! `objective`: what can be trained for, and what each makes of a text.

use super::{
    color::TextStyle,
    error::CliError,
    model_summary,
    objective_example::{self, TextExample},
    output::CommandOutput,
    recipe_source,
    table::format_table,
};
use crate::page::PatternMask;
use burn::tensor::Device;
use kiln_data::{
    DataConfig, FilesConfig, SourceConfig, Subset, Tokenizer, ValidationSplit, source::stories::StoriesConfig,
};
use kiln_models::{Model, ModelConfig};
use kiln_spec::config::{Choice, closest_match, explain};
use kiln_train::{Models, ObjectiveConfig, Recipe};
use serde_json::{Value, json};

/// Subcommands of `objective`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the training objectives.
    List,
    /// Show an example: inputs, targets and attention mask.
    Show(ShowArgs),
}

/// Arguments of `objective show`.
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

/// Columns that tokens are wrapped to.
const LINE_WIDTH: usize = 96;
/// Megabytes of stories that the tokenizer of an example learns from.
const STORY_MEGABYTES: f64 = 0.3;

/// Does it.
pub fn run(command: &Command) -> Result<CommandOutput, CliError> {
    match command {
        Command::List => Ok(list_objectives()),
        Command::Show(args) => args.show(),
    }
}

/// Each objective with its meaning.
fn objective_descriptions() -> Vec<(String, String)> {
    let keys = explain(&Recipe::schema());
    let about = |name: &str| {
        let path = format!("stages[].objective.{name}");
        keys.iter().find(|key| key.path == path).map(|key| key.description.clone()).unwrap_or_default()
    };
    ObjectiveConfig::NAMES.iter().map(|name| ((*name).to_string(), about(name))).collect()
}

fn list_objectives() -> CommandOutput {
    let known = objective_descriptions();
    let rows: Vec<Vec<String>> = known.iter().map(|(name, about)| vec![name.clone(), about.clone()]).collect();
    let json: Vec<Value> = known.iter().map(|(name, about)| json!({ "name": name, "about": about })).collect();
    CommandOutput::new(json!({ "objectives": json }), format_table(&["objective", "description"], &rows, &[]))
}

impl ShowArgs {
    fn show(&self) -> Result<CommandOutput, CliError> {
        let (objective, texts) = (self.objective()?, self.data_config()?);
        let source = texts.source.open()?;
        let all = ValidationSplit::unsplit(Subset::Validation);
        let config = kiln_data::TokenizerConfig::default();
        let tokenizer = Tokenizer::train(&config, all.texts(&*source, Subset::Validation)?)?;
        let model = ModelConfig { vocab: tokenizer.vocab_size(), hidden: 8, ..ModelConfig::default() };
        let models = Models { policy: Model::init(&model, 0, &Device::flex()) };
        let text = all.texts(&*source, Subset::Validation)?.next().transpose()?.unwrap_or_default();
        let examples = objective_example::text_examples(&text, &objective, &models, &tokenizer, self.seed);
        let paint = TextStyle::for_stdout();
        let drawn: Vec<String> = examples.iter().map(|shown| format_example(shown, paint)).collect();
        let heading = objective_descriptions()
            .into_iter()
            .find(|(name, _)| *name == objective.name())
            .map_or(String::new(), |(_, about)| about);
        let head = format!("{}: {heading}", paint.bold(objective.name()));
        let json: Vec<Value> = examples.iter().map(example_json).collect();
        Ok(CommandOutput::new(
            json!({ "objective": objective.name(), "examples": json }),
            format!("{head}\n\n{}", drawn.join("\n\n")),
        ))
    }

    fn objective(&self) -> Result<ObjectiveConfig, CliError> {
        let is_alias = ObjectiveConfig::ALIASES.iter().any(|(alias, _)| *alias == self.name);
        if !is_alias && !ObjectiveConfig::NAMES.contains(&self.name.as_str()) {
            let trouble = CliError::usage(format!("no objective `{}`", self.name));
            return Err(match closest_match(&self.name, ObjectiveConfig::NAMES.iter().copied()) {
                Some(near) => trouble.with_help(format!("did you mean `{near}`?")),
                None => trouble.with_help("`kiln objective list` lists them"),
            });
        }
        let place = format!("stages.0.objective={}", self.name);
        let option = |set: &String| format!("stages.0.objective.{}.{set}", self.name);
        let sets: Vec<String> = std::iter::once(place).chain(self.set.iter().map(option)).collect();
        let mut recipe = recipe_source::load(recipe_source::BUILT_IN_RECIPES[0].name, &sets)?;
        Ok(recipe.stages.swap_remove(0).objective)
    }

    fn data_config(&self) -> Result<DataConfig, CliError> {
        let source = if self.data.is_empty() {
            SourceConfig::Stories(StoriesConfig { seed: self.seed, megabytes: STORY_MEGABYTES })
        } else {
            SourceConfig::Files(FilesConfig::new(&self.data))
        };
        Ok(DataConfig { source, ..DataConfig::default() })
    }
}

/// The tokens in columns, before, given and asked, and below them who sees whom.
fn format_example(shown: &TextExample, paint: TextStyle) -> String {
    let title = if shown.mode.is_empty() { String::new() } else { format!("{}\n", paint.bold(shown.mode)) };
    let picture =
        model_summary::draw_pattern(&shown.pattern).into_iter().map(|line| format!("  {line}\n")).collect::<String>();
    format!("{title}{}\n{}:\n{}", format_columns(shown, paint), shown.pattern.title, picture.trim_end_matches('\n'))
}

fn format_columns(shown: &TextExample, paint: TextStyle) -> String {
    let (mut blocks, mut lines, mut used) = (Vec::new(), [String::new(), String::new(), String::new()], 0);
    for (token, before) in shown.tokens.iter().zip(&shown.original) {
        let asked = token.target.as_deref().unwrap_or("·");
        let cells = [before.as_str(), &token.input, asked];
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        if used + width > LINE_WIDTH {
            blocks.push(label_lines(&lines));
            (lines, used) = ([String::new(), String::new(), String::new()], 0);
        }
        used += width + 2;
        let padded = |cell: &str| format!("{cell}{}", " ".repeat(width - cell.chars().count() + 2));
        lines[0] += &padded(cells[0]);
        lines[1] += &if *before == token.input { padded(cells[1]) } else { paint.changed(&padded(cells[1])) };
        lines[2] += &if token.target.is_some() { paint.target(&padded(cells[2])) } else { padded(cells[2]) };
    }
    blocks.push(label_lines(&lines));
    blocks.join("\n")
}

fn label_lines(lines: &[String; 3]) -> String {
    let names = ["before  ", "given   ", "asked   "];
    names.iter().zip(lines).map(|(name, line)| format!("{name}{}\n", line.trim_end())).collect()
}

fn example_json(shown: &TextExample) -> Value {
    let token = |(token, before): (&crate::page::ExampleToken, &String)| json!({ "before": before, "given": token.input, "asked": token.target });
    let tokens: Vec<Value> = shown.tokens.iter().zip(&shown.original).map(token).collect();
    json!({ "mode": shown.mode, "tokens": tokens, "visible": visibility_rows(&shown.pattern) })
}

/// A line of 0 and 1 for each token that looks.
fn visibility_rows(seen: &PatternMask) -> Vec<String> {
    let cell = |query, key| if seen.is_visible(query, key) { '1' } else { '0' };
    (0..seen.size).map(|query| (0..seen.size).map(|key| cell(query, key)).collect()).collect()
}
