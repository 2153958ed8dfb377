//! `kiln objective`: the training objectives, and examples of their inputs, targets and attention masks.
//!
//! ```console
//! kiln objective list
//! kiln objective show masked --set rate=0.3
//! kiln objective show preference --data preferences.jsonl
//! kiln objective show prefix --model runs/chat --data dialogs.jsonl --set 'split={ after = { text = "Answer:" } }'
//! ```
//!
//! JSON: `list` gives `{"objectives":[{"name","about"}]}`; `show` gives
//! `{"objective","examples":[{"mode","tokens":[{"before","given","asked"}],"visible"}]}` with one string of 0 and 1 per query.
//! A token with a target has `"weight"` if that is not 1. The first token of each of several sequences has `"sequence"`, such
//! as `chosen`.

use super::{
    color::TextStyle,
    error::CliError,
    example_data::ExampleFile,
    example_row::shortest_group,
    line_width::{LINE_WIDTH, fold_lines, format_descriptions},
    model_args::model_source,
    model_summary,
    objective_example::{self, TextExample},
    output::CommandOutput,
    recipe_source,
    tokenizer::open_tokenizer,
};
use crate::{
    page::{ExampleToken, PatternMask, number_format::format_plain},
    recipes,
};
use burn::tensor::Device;
use kiln_data::{
    DataConfig, DataError, Dataset, DiskSpace, ExampleKind, FilesConfig, PackedSequences, Packer, Source, SourceConfig,
    Subset, Tokenizer, TokenizerConfig, ValidationSplit, source::stories::StoriesConfig,
};
use kiln_models::{Model, ModelConfig};
use kiln_spec::config::{Choice, closest_match, explain};
use kiln_train::{Models, ObjectiveConfig, Recipe, objective::RequiredText, run};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};

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
    /// File or folder to use instead of a built-in example. Of text the first document is shown; for an objective that looks
    /// for a text, the first that contains it. Of other examples, such as conversations, a short one is shown. May be
    /// repeated.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// Model whose tokenizer is used: run folder, Hugging Face folder or id, or .gguf file (default: a small tokenizer is
    /// trained on the text).
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Maximum number of tokens of the document that are shown.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=8192))]
    sequence_length: usize,
    /// Override an option of the objective, such as `rate=0.3` or `unit=span`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Random seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// An example to show.
struct Picture {
    /// One row.
    packed: PackedSequences,
    tokenizer: Tokenizer,
    /// What is left out of the example.
    note: Option<String>,
}

/// Maximum width of a line of tokens after its name, in characters.
const TOKENS_WIDTH: usize = LINE_WIDTH - 8;
/// Maximum width of a mask, in characters.
const MASK_WIDTH: usize = LINE_WIDTH - 2;
/// Megabytes of stories that the tokenizer of an example is trained on.
const STORY_MEGABYTES: f64 = 0.3;
/// Maximum number of tokens of an example with several sequences, before it is cut.
const MAX_EXAMPLE_TOKENS: usize = 1 << 14;
/// Names of the lines of tokens.
const LINE_NAMES: [&str; 4] = ["text    ", "input   ", "target  ", "weight  "];

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
    let json: Vec<Value> = objectives.iter().map(|(name, text)| json!({ "name": name, "about": text })).collect();
    CommandOutput::new(json!({ "objectives": json }), format_descriptions(["objective", "description"], &objectives))
}

impl ShowArgs {
    /// Makes one batch of one example, and prints the batch. The model is untrained: it only takes part because objectives may
    /// use one.
    fn show(&self) -> Result<CommandOutput, CliError> {
        let objective = self.objective()?;
        let Picture { packed, tokenizer, note } = self.picture(&objective)?;
        let model = ModelConfig { vocab: tokenizer.vocab_size(), hidden: 8, ..ModelConfig::default() };
        let models = Models::new(Model::init(&model, 0, &Device::flex()));
        let examples = objective_example::packed_examples(&packed, &objective, &models, &tokenizer, self.seed)?;
        let style = TextStyle::for_stdout();
        let description = objective_descriptions().into_iter().find(|(name, _)| *name == objective.name());
        let description = description.map(|(_, text)| text).unwrap_or_default();
        let mut parts = vec![fold_lines(&format!("{}: {description}", style.bold(objective.name())))];
        parts.extend(note);
        parts.extend(examples.iter().map(|example| format_example(example, style)));
        let json: Vec<Value> = examples.iter().map(example_json).collect();
        Ok(CommandOutput::new(json!({ "objective": objective.name(), "examples": json }), parts.join("\n\n")))
    }

    /// The example to show: the first document of text, or the shortest example of another kind that the objective reads.
    fn picture(&self, objective: &ObjectiveConfig) -> Result<Picture, CliError> {
        let accepted = objective.build().accepts();
        let reads_text = accepted.contains(&ExampleKind::Text);
        let sample = if self.data.is_empty() && !reads_text { ExampleFile::write(accepted)? } else { None };
        let data = self.data_config(sample.as_ref());
        let template = match &self.model {
            Some(model) => model_source(model)?.chat_template()?,
            None => None,
        };
        let dataset = run::open_data(&data, &|| false)?;
        let has_template = template.is_some() || data.template.is_some();
        if self.check_kind(&dataset, accepted, has_template)? == ExampleKind::Text {
            return self.text_picture(&*data.source.open()?, objective);
        }
        let tokenizer =
            self.tokenizer(|| Ok(dataset.texts(Subset::Training)?.chain(dataset.texts(Subset::Validation)?)))?;
        let storage = DiskSpace::in_memory();
        let corpus = dataset.build_unsplit(Subset::Validation, &tokenizer, template.as_ref(), &storage, |_, _| ())?;
        let packer = Packer::validation(Arc::new(corpus), MAX_EXAMPLE_TOKENS, None)?;
        match shortest_group(&packer, self.sequence_length)? {
            Some(packed) => Ok(Picture { packed, tokenizer, note: None }),
            None => Err(CliError::failed("no-text", format!("{} has no example", dataset.describe()))
                .with_help("give other data with --data PATH")),
        }
    }

    /// The first document, or the first one that contains all texts that the objective looks for.
    fn text_picture(&self, source: &dyn Source, objective: &ObjectiveConfig) -> Result<Picture, CliError> {
        let all = ValidationSplit::unsplit(Subset::Validation);
        let tokenizer = self.tokenizer(|| all.texts(source, Subset::Validation))?;
        let text = find_document(source, objective, &tokenizer)?;
        let (max_tokens, tokens) = (self.sequence_length, tokenizer.encode(&text).len());
        let note = (tokens > max_tokens).then(|| format!("the first {max_tokens} of {tokens} tokens of the document"));
        Ok(Picture { packed: objective_example::pack_text(&text, max_tokens, &tokenizer), tokenizer, note })
    }

    /// The kind of the examples, if the objective reads it.
    fn check_kind(
        &self,
        dataset: &Dataset,
        accepted: &[ExampleKind],
        has_template: bool,
    ) -> Result<ExampleKind, CliError> {
        let found = dataset.summaries().next().map_or(ExampleKind::Text, |summary| summary.kind(has_template));
        // The texts of labeled rows are read without their labels, as in training.
        let found = if found == ExampleKind::Labeled { ExampleKind::Text } else { found };
        if accepted.contains(&found) {
            return Ok(found);
        }
        let expected = accepted.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
        let message = format!("the objective `{}` reads {expected}, found {}", self.name, found.name());
        Err(CliError::usage(message).with_location("--data").with_help("give other data, or leave --data out"))
    }

    /// The tokenizer of `--model`, or a small one that is trained on `texts`.
    fn tokenizer<T: Iterator<Item = Result<String, DataError>>>(
        &self,
        texts: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<Tokenizer, CliError> {
        match &self.model {
            Some(model) => open_tokenizer(model),
            None => Ok(Tokenizer::train(&TokenizerConfig::default(), texts()?)?),
        }
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
        let mut recipe = recipe_source::load(recipes::BUILT_IN_RECIPES[0].name, &sets)?;
        Ok(recipe.stages.swap_remove(0).objective)
    }

    /// The files of `--data`, the built-in example, or built-in stories that depend on the seed. Conversations have the
    /// template of the model, or without a model ChatML.
    fn data_config(&self, sample: Option<&ExampleFile>) -> DataConfig {
        let source = match (sample, self.data.is_empty()) {
            (Some(sample), _) => SourceConfig::Files(FilesConfig::new([sample.path().to_string_lossy()])),
            (None, true) => SourceConfig::Stories(StoriesConfig { seed: self.seed, megabytes: STORY_MEGABYTES }),
            (None, false) => SourceConfig::Files(FilesConfig::new(&self.data)),
        };
        DataConfig { source, template: self.model.is_none().then(|| "chatml".into()), ..DataConfig::default() }
    }
}

/// The first document, or the first one that contains all texts that the objective looks for.
///
/// # Errors
/// If no document contains them, with the number of documents.
fn find_document(source: &dyn Source, objective: &ObjectiveConfig, tokenizer: &Tokenizer) -> Result<String, CliError> {
    let required = objective.build().required_texts();
    let all = ValidationSplit::unsplit(Subset::Validation);
    let mut documents = 0;
    for text in all.texts(source, Subset::Validation)? {
        let text = text?;
        let tokens = if required.is_empty() { Vec::new() } else { tokenizer.encode(&text) };
        let contains = |text: &RequiredText| tokenizer.vocabulary().find_text(text.text.as_bytes(), &tokens).is_some();
        if required.iter().all(contains) {
            return Ok(text);
        }
        documents += 1;
    }
    let texts: Vec<String> = required.iter().map(|required| format!("{:?}", required.text)).collect();
    let message = format!("the text {} occurs in none of the {documents} documents", texts.join(" or "));
    let keys: Vec<String> = required.into_iter().map(|required| required.key).collect();
    Err(CliError::usage(message)
        .with_location(keys.join(", "))
        .with_help("give a text of the documents, or others with --data"))
}

/// The tokens in columns of text, input and target, and the attention mask below them.
fn format_example(example: &TextExample, style: TextStyle) -> String {
    let title = if example.mode.is_empty() { String::new() } else { format!("{}\n", style.bold(example.mode)) };
    let pattern = model_summary::thin_pattern(&example.pattern, MASK_WIDTH);
    let mask: Vec<String> = model_summary::draw_pattern(&pattern).into_iter().map(|line| format!("  {line}")).collect();
    format!("{title}{}\n{}:\n{}", format_columns(example, style), pattern.title, mask.join("\n"))
}

/// Lines are broken after [`TOKENS_WIDTH`] characters, and before each sequence with a heading. `·` marks positions without
/// a target. A fourth line shows the loss weights if some are neither 0 nor 1.
fn format_columns(example: &TextExample, style: TextStyle) -> String {
    let has_weights = example.tokens.iter().any(|token| token.weight != 0.0 && token.weight != 1.0);
    let num_lines = if has_weights { 4 } else { 3 };
    let mut blocks = Vec::new();
    let mut lines = vec![String::new(); num_lines];
    let mut line_width = 0;
    for (token, original) in example.tokens.iter().zip(&example.original) {
        let target = token.target.as_deref().unwrap_or("·");
        let weight = if token.target.is_some() { format_plain(f64::from(token.weight)) } else { String::new() };
        let cells = [original.as_str(), &token.input, target, &weight];
        let width = cells[..num_lines].iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        if line_width > 0 && (line_width + width > TOKENS_WIDTH || !token.heading.is_empty()) {
            blocks.push(label_lines(&std::mem::replace(&mut lines, vec![String::new(); num_lines])));
            line_width = 0;
        }
        if !token.heading.is_empty() {
            blocks.push(format!("{}\n", style.bold(&token.heading)));
        }
        line_width += width + 2;
        let [text, input, target, weight] =
            cells.map(|cell| format!("{cell}{}", " ".repeat((width + 2).saturating_sub(cell.chars().count()))));
        lines[0] += &text;
        lines[1] += &if *original == token.input { input } else { style.changed(&input) };
        lines[2] += &if token.target.is_some() { style.target(&target) } else { target };
        if let Some(line) = lines.get_mut(3) {
            *line += &weight;
        }
    }
    blocks.push(label_lines(&lines));
    blocks.join("\n")
}

/// The lines with their names, without spaces at the end.
fn label_lines(lines: &[String]) -> String {
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
    let mut json = json!({ "before": original, "given": token.input, "asked": token.target });
    if token.target.is_some() && token.weight != 1.0 {
        json["weight"] = json!(token.weight);
    }
    if !token.heading.is_empty() {
        json["sequence"] = json!(token.heading);
    }
    json
}

/// One string per query, with 1 for each visible key and 0 for the others.
fn visibility_rows(mask: &PatternMask) -> Vec<String> {
    let cell = |query, key| if mask.is_visible(query, key) { '1' } else { '0' };
    (0..mask.size).map(|query| (0..mask.size).map(|key| cell(query, key)).collect()).collect()
}
