//! `objective`: what can be trained for, and what each makes of a text.

use super::{
    colour::Paint,
    example::{self, Shown},
    output::Answer,
    picture, recipes,
    table::table,
    trouble::Trouble,
};
use crate::page::PatternPicture;
use burn::tensor::Device;
use kiln_data::{DataConfig, FilesConfig, Side, SourceConfig, Split, Tokenizer, source::stories::StoriesConfig};
use kiln_models::{Model, ModelConfig};
use kiln_spec::config::{explain, nearest};
use kiln_train::{Models, ObjectiveConfig, Recipe};
use serde_json::{Value, json};

/// What `objective` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists what can be trained for.
    List,
    /// Shows a text before and after, what is asked of it, and who sees whom.
    Show(Show),
}

/// Arguments of `objective show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Its name.
    name: String,
    /// Text to show instead of a built-in story: a file or a folder. As often as wanted; the first document is shown.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// Changes an option of the objective, such as `rate=0.3` or `unit=span`. As often as wanted.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Names the random numbers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Columns that tokens are wrapped to.
const WIDTH: usize = 96;
/// Megabytes of stories that the tokenizer of an example learns from.
const STORIES: f64 = 0.3;

/// Does it.
pub fn run(command: &Command) -> Result<Answer, Trouble> {
    match command {
        Command::List => Ok(list()),
        Command::Show(args) => args.shown(),
    }
}

/// Each objective with its meaning.
fn known() -> Vec<(String, String)> {
    let keys = explain(&Recipe::schema());
    let about = |name: &str| {
        let path = format!("stages[].objective.{name}");
        keys.iter().find(|key| key.path == path).map(|key| key.doc.clone()).unwrap_or_default()
    };
    ObjectiveConfig::NAMES.iter().map(|name| ((*name).to_string(), about(name))).collect()
}

fn list() -> Answer {
    let known = known();
    let rows: Vec<Vec<String>> = known.iter().map(|(name, about)| vec![name.clone(), about.clone()]).collect();
    let json: Vec<Value> = known.iter().map(|(name, about)| json!({ "name": name, "about": about })).collect();
    Answer::new(json!({ "objectives": json }), table(&["objective", "what is trained for"], &rows, &[]))
}

impl Show {
    fn shown(&self) -> Result<Answer, Trouble> {
        let (objective, texts) = (self.objective()?, self.source()?);
        let source = texts.source.open()?;
        let all = Split::whole(Side::Validation);
        let config = kiln_data::TokenizerConfig::default();
        let tokenizer = Tokenizer::train(&config, all.texts(&*source, Side::Validation)?)?;
        let model = ModelConfig { vocab: tokenizer.vocab(), hidden: 8, ..ModelConfig::default() };
        let models = Models { policy: Model::init(&model, 0, &Device::flex()) };
        let text = all.texts(&*source, Side::Validation)?.next().transpose()?.unwrap_or_default();
        let examples = example::of_text(&text, &objective, &models, &tokenizer, self.seed);
        let paint = Paint::of_output();
        let drawn: Vec<String> = examples.iter().map(|shown| drawn(shown, paint)).collect();
        let heading =
            known().into_iter().find(|(name, _)| *name == self.name).map_or(String::new(), |(_, about)| about);
        let head = format!("{}: {heading}", paint.bold(&self.name));
        let json: Vec<Value> = examples.iter().map(as_json).collect();
        Ok(Answer::new(
            json!({ "objective": self.name, "examples": json }),
            format!("{head}\n\n{}", drawn.join("\n\n")),
        ))
    }

    fn objective(&self) -> Result<ObjectiveConfig, Trouble> {
        if !ObjectiveConfig::NAMES.contains(&self.name.as_str()) {
            let trouble = Trouble::asked(format!("no objective `{}`", self.name));
            return Err(match nearest(&self.name, ObjectiveConfig::NAMES.iter().copied()) {
                Some(near) => trouble.help(format!("did you mean `{near}`?")),
                None => trouble.help("`kiln objective list` lists them"),
            });
        }
        let place = format!("stages.0.objective={}", self.name);
        let option = |set: &String| format!("stages.0.objective.{}.{set}", self.name);
        let sets: Vec<String> = std::iter::once(place).chain(self.set.iter().map(option)).collect();
        let mut recipe = recipes::load(recipes::BUILT_IN[0].name, &sets)?;
        Ok(recipe.stages.swap_remove(0).objective)
    }

    fn source(&self) -> Result<DataConfig, Trouble> {
        let source = if self.data.is_empty() {
            SourceConfig::Stories(StoriesConfig { seed: self.seed, megabytes: STORIES })
        } else {
            SourceConfig::Files(FilesConfig::new(&self.data))
        };
        Ok(DataConfig { source, ..DataConfig::default() })
    }
}

/// The tokens in columns, before, given and asked, and below them who sees whom.
fn drawn(shown: &Shown, paint: Paint) -> String {
    let title = if shown.mode.is_empty() { String::new() } else { format!("{}\n", paint.bold(shown.mode)) };
    let picture = picture::drawn(&shown.seen).into_iter().map(|line| format!("  {line}\n")).collect::<String>();
    format!("{title}{}\n{}:\n{}", columns(shown, paint), shown.seen.title, picture.trim_end_matches('\n'))
}

fn columns(shown: &Shown, paint: Paint) -> String {
    let (mut blocks, mut lines, mut used) = (Vec::new(), [String::new(), String::new(), String::new()], 0);
    for (token, before) in shown.tokens.iter().zip(&shown.before) {
        let asked = token.target.as_deref().unwrap_or("·");
        let cells = [before.as_str(), &token.input, asked];
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        if used + width > WIDTH {
            blocks.push(labelled(&lines));
            (lines, used) = ([String::new(), String::new(), String::new()], 0);
        }
        used += width + 2;
        let padded = |cell: &str| format!("{cell}{}", " ".repeat(width - cell.chars().count() + 2));
        lines[0] += &padded(cells[0]);
        lines[1] += &if *before == token.input { padded(cells[1]) } else { paint.changed(&padded(cells[1])) };
        lines[2] += &if token.target.is_some() { paint.asked(&padded(cells[2])) } else { padded(cells[2]) };
    }
    blocks.push(labelled(&lines));
    blocks.join("\n")
}

fn labelled(lines: &[String; 3]) -> String {
    let names = ["before  ", "given   ", "asked   "];
    names.iter().zip(lines).map(|(name, line)| format!("{name}{}\n", line.trim_end())).collect()
}

fn as_json(shown: &Shown) -> Value {
    let token = |(token, before): (&crate::page::ExampleToken, &String)| json!({ "before": before, "given": token.input, "asked": token.target });
    let tokens: Vec<Value> = shown.tokens.iter().zip(&shown.before).map(token).collect();
    json!({ "mode": shown.mode, "tokens": tokens, "visible": visible(&shown.seen) })
}

/// A line of 0 and 1 for each token that looks.
fn visible(seen: &PatternPicture) -> Vec<String> {
    let cell = |query, key| if seen.sees(query, key) { '1' } else { '0' };
    (0..seen.size).map(|query| (0..seen.size).map(|key| cell(query, key)).collect()).collect()
}
