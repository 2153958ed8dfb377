//! `kiln train [RECIPE]`: start or resume a run.
//!
//! ```console
//! kiln train
//! kiln train text --data notes.txt --epochs 3 --lr 1e-3 --set data.validation=0.1
//! kiln train --from models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --data notes.txt
//! kiln train --resume runs/stories
//! ```
//!
//! Recipe, data and memory are checked before the run folder is created; the folder and its recipe exist before any long work.
//! At the end the model is compared with compressors (text other than the built-in stories) and the report is written. After
//! Ctrl-C the state is saved and the exit code is 130.
//!
//! JSON: see [`MetricsSummary::to_json`].

use super::{
    compression,
    device_args::{DeviceArgs, WeightDtypeArg},
    error::{CliError, EXIT_INTERRUPTED},
    frozen_memory, interrupt, memory_check,
    metrics_summary::MetricsSummary,
    model_overrides::overrides_from_model,
    output::{CommandOutput, print_message},
    progress::ProgressReporter,
    recipe_choice::recipe_for_data,
    recipe_source, run_report, run_summary,
    stage_flags::StageFlags,
    start_record,
};
use crate::recipes;
use burn::tensor::Device;
use clap::builder::PossibleValuesParser;
use kiln_data::{FilesConfig, SourceConfig};
use kiln_models::WeightPrecision;
use kiln_train::{
    Recipe, TrainError,
    metrics::LogFormat,
    run::{self, RunContext, RunOutcome},
    run_folder::RunPaths,
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// Arguments of `kiln train`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recipe file, or name of a built-in recipe (see `kiln recipe list`). Default: by the data of --data: `chat` for
    /// conversations, `completion`, `dpo` or `contrastive` for other rows, `text` for texts (`finetune` with --from); without
    /// --data `stories`.
    recipe: Option<String>,
    /// Training data: a text, JSON lines, JSON, CSV or TSV file (each may be compressed as .gz or .zst), a Parquet file, or
    /// a folder of such files. Replaces the data source of the recipe. May be repeated.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// Field of JSON rows, or column of a CSV, TSV or Parquet file, that holds the text (default: text).
    #[arg(long, value_name = "NAME", requires = "data")]
    field: Option<String>,
    /// Leave out rows without valid text instead of ending with an error. They are counted, and the first are shown.
    #[arg(long)]
    skip_bad_rows: bool,
    /// Output folder of the run (default: the first of runs/NAME, runs/NAME-2, … that does not exist; NAME is the name
    /// of the recipe).
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Model to start from: run folder, Hugging Face folder or id, PEFT adapter folder, or .gguf file. Its
    /// architecture, weights and tokenizer are used. With a PEFT folder, its adapters are trained further.
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    #[command(flatten)]
    stages: StageFlags,
    /// Random seed (default: from the recipe).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Resume the run in this folder from its last checkpoint, with the recipe saved there. Cannot be combined with a
    /// recipe, --data, --skip-bad-rows, --from, --out, --seed, --dtype, --log, --set or a flag of the stages.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "data", "skip_bad_rows", "from", "out", "seed", "set", "dtype", "log", "StageFlags"])]
    resume: Option<PathBuf>,
    /// Also write the metrics in this format into the run folder: `tensorboard` (event file) or `csv` (table). May be
    /// repeated, or a list with commas.
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', value_parser = PossibleValuesParser::new(LogFormat::ALL.map(LogFormat::name)))]
    log: Vec<String>,
    /// Show the dashboard of burn-train in the terminal: curves, metrics and progress. The keys `q` and then `s`, or
    /// Ctrl-C, stop the run and save its state.
    #[arg(long)]
    tui: bool,
    /// Override a recipe key, such as `stages.0.batch_size=8`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Data type in which the weights are held and saved; sets `precision.weights`. Default: from the recipe, or else
    /// keep for adapters on a model of --from, on the CPU, and f32 otherwise.
    #[arg(long, value_name = "DTYPE", value_enum)]
    dtype: Option<WeightDtypeArg>,
}

/// Starts or resumes a run, compares the finished model with compressors, and writes the report.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    // A recipe for an adapter folder reads weights.
    args.device.start_threads()?;
    // The recipe is checked before anything else is opened.
    let recipe = if args.resume.is_none() { Some(args.recipe()?) } else { None };
    let device = args.device.open()?;
    let stop_flag = interrupt::listen_for_ctrl_c()?;
    let mut progress = ProgressReporter::new(args.tui);
    progress.start_command = args.resume.is_none().then(start_record::command_line);
    let context = RunContext { device: device.clone(), stop_flag, listener: &mut progress };
    let outcome = match (&args.resume, recipe) {
        (Some(path), _) => run::resume(path, context),
        (None, recipe) => run::start(&recipe.unwrap_or_default(), args.out.as_deref(), context),
    };
    progress.finish();
    let mut outcome = outcome.map_err(|error| report_failure(error, &progress, &device))?;
    if !outcome.interrupted {
        let is_stopped = || stop_flag.load(Ordering::Relaxed);
        let compared = compression::compare_compressors(&outcome.folder, &device, &is_stopped);
        outcome.interrupted = was_stopped(compared)?;
    }
    // A run that was interrupted while reading text has nothing new to show.
    if progress.stage_started || !outcome.interrupted {
        write_report(&outcome.folder, &device);
    }
    command_output(&outcome, &progress, json)
}

impl Args {
    /// The recipe with its overrides, in the order `--from`, flags of the stages, `--seed`, `--dtype`, `--log`, `--set`; then
    /// `--data`.
    ///
    /// `--data` comes last, so that it wins over every other source of text. A recipe that needs text and has none is
    /// an error.
    fn recipe(&self) -> Result<Recipe, CliError> {
        let name = match &self.recipe {
            Some(name) => name,
            None => self.default_recipe()?,
        };
        let mut sets = self.from.as_deref().map_or(Ok(Vec::new()), overrides_from_model)?;
        sets.extend(self.stages.assignments(name, &sets)?);
        sets.extend(self.seed.map(|seed| format!("seed={seed}")));
        let precision = self.dtype.map(WeightPrecision::from);
        sets.extend(precision.map(|precision| format!("precision.weights={:?}", precision.name())));
        if !self.log.is_empty() {
            sets.push(format!("log={:?}", self.log));
        }
        sets.extend(self.set.iter().cloned());
        let mut recipe = recipe_source::load(name, &sets)?;
        if !self.data.is_empty() {
            recipe.data.source = SourceConfig::Files(self.files_config(&recipe.data.source));
            recipe.data.sources.clear();
        }
        if self.skip_bad_rows {
            skip_bad_rows(&mut recipe)?;
        }
        let has_no_path =
            |source: &SourceConfig| matches!(source, SourceConfig::Files(files) if files.paths.is_empty());
        if recipe.data.sources.is_empty() && has_no_path(&recipe.data.source) {
            return Err(CliError::usage("the recipe has no training text")
                .with_location("data.source.files.paths")
                .with_help("give a text with --data PATH"));
        }
        memory_check::check_memory(&recipe)?;
        frozen_memory::check_frozen_memory(&recipe)?;
        Ok(recipe)
    }

    /// The recipe that fits the data, if none is named.
    fn default_recipe(&self) -> Result<&'static str, CliError> {
        match (&self.from, self.data.is_empty()) {
            (Some(_), true) => Ok("finetune"),
            (None, true) => Ok(recipes::BUILT_IN_RECIPES[0].name),
            (from, false) => {
                let files = self.files_config(&SourceConfig::Files(FilesConfig::new([] as [&str; 0])));
                recipe_for_data(&FilesConfig { skip_bad_rows: self.skip_bad_rows, ..files }, from.as_deref())
            }
        }
    }

    /// The files of `--data`, with the other options of the recipe's files.
    fn files_config(&self, source: &SourceConfig) -> FilesConfig {
        let mut files = match source {
            SourceConfig::Files(files) => files.clone(),
            SourceConfig::Stories(_) => FilesConfig::new([] as [&str; 0]),
        };
        files.paths.clone_from(&self.data);
        files.field = self.field.clone().unwrap_or(files.field);
        files
    }
}

/// Sets `skip_bad_rows` for all files of a recipe, those of its stages included. A recipe without files is refused.
fn skip_bad_rows(recipe: &mut Recipe) -> Result<(), CliError> {
    let stage_data = recipe.stages.iter_mut().filter_map(|stage| stage.data.as_mut());
    let mut has_files = false;
    for data in stage_data.chain([&mut recipe.data]) {
        for source in data.sources_mut() {
            if let SourceConfig::Files(files) = source {
                files.skip_bad_rows = true;
                has_files = true;
            }
        }
    }
    if has_files {
        return Ok(());
    }
    let error =
        CliError::usage("the recipe reads no files, which could have bad rows").with_location("--skip-bad-rows");
    Err(error.with_help("give a text with --data PATH, or leave the flag out"))
}

/// Whether the comparison with compressors was interrupted.
///
/// Its result is not needed, so that an interruption is no failure.
fn was_stopped(result: Result<(), CliError>) -> Result<bool, CliError> {
    match result {
        Err(error) if error.kind == "stopped" => Ok(true),
        result => result.map(|()| false),
    }
}

/// Writes the report of a run whose loss became non-finite, and returns the error.
fn report_failure(error: TrainError, progress: &ProgressReporter, device: &Device) -> CliError {
    if let (TrainError::NotFinite { .. }, Some(run)) = (&error, &progress.run_folder) {
        write_report(run, device);
    }
    error.into()
}

/// Writes the report. A failure is printed, but the run counts as successful.
fn write_report(run: &Path, device: &Device) {
    if let Err(error) = run_report::write_report(run, device) {
        print_message("the run is saved, but its report could not be written:");
        error.report();
    }
}

/// Prints the summary to standard error with `json`, because standard output has the JSON result only.
fn command_output(outcome: &RunOutcome, progress: &ProgressReporter, json: bool) -> Result<CommandOutput, CliError> {
    let rows = run::load_metrics(&RunPaths::open(&outcome.folder)?)?;
    let summary = MetricsSummary::from_rows(&rows);
    let run = outcome.folder.display().to_string();
    let text = if outcome.interrupted {
        let (done, total) = outcome.steps;
        let phase = if progress.stage_started { "" } else { " while reading text," };
        format!(
            "interrupted{phase} after step {done} of {total}; the state is saved\n\
             continue with: kiln train --resume {run}"
        )
    } else if progress.already_finished {
        format!("{}\nnothing to do: the run was finished before", run_summary::render(&outcome.folder, &summary, &rows))
    } else {
        run_summary::render(&outcome.folder, &summary, &rows)
    };
    if json {
        print_message(&text);
    }
    let exit_code = if outcome.interrupted { EXIT_INTERRUPTED } else { 0 };
    Ok(CommandOutput { json: summary.to_json(&run), text, exit_code })
}
