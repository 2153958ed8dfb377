//! `train`: a run, new or gone on with.

use super::{
    compression,
    device_args::DeviceArgs,
    error::{CliError, EXIT_INTERRUPTED},
    interrupt, memory_check,
    metrics_summary::MetricsSummary,
    model_args::model_source,
    output::{CommandOutput, print_message},
    progress::ProgressReporter,
    recipe_source, run_report, run_summary,
};
use burn::tensor::Device;
use kiln_data::{FilesConfig, SourceConfig};
use kiln_peft::AdapterConfig;
use kiln_train::{
    Recipe, TrainError,
    pretrained::ModelSource,
    run::{self, RunContext, RunOutcome},
    run_folder::RunPaths,
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recipe file, or name of a built-in recipe (see `kiln recipe list`). Default: `stories`; `text` with --data; `finetune`
    /// with --from.
    recipe: Option<String>,
    /// Training text: file, folder, .jsonl (each also .gz or .zst) or .parquet. Replaces the recipe's data. May be repeated.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// Field of a .jsonl file, or column of a .parquet file, that holds the text (default: text).
    #[arg(long, value_name = "NAME", requires = "data")]
    field: Option<String>,
    /// Output folder of the run (default: the first free one of runs/NAME, runs/NAME-2, …).
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Pretrained model to start from: its architecture, weights and tokenizer are used. Adapters of a PEFT folder continue
    /// training.
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Number of optimizer steps per stage. Schedule, evaluations and checkpoints given as fractions scale with it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Random seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Resume a run from its last checkpoint. The recipe is the run's own.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "data", "from", "out", "steps", "seed", "set"])]
    resume: Option<PathBuf>,
    /// Override a recipe key, such as `stages.0.batch_size=8`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Trains.
pub fn run(args: &Args, json: bool) -> Result<CommandOutput, CliError> {
    let recipe = if args.resume.is_none() { Some(args.recipe()?) } else { None };
    let device = args.device.open()?;
    let stop = interrupt::listen_for_ctrl_c()?;
    let mut progress = ProgressReporter::new();
    let host = RunContext { device: device.clone(), stop_flag: stop, listener: &mut progress };
    let outcome = match (&args.resume, recipe) {
        (Some(path), _) => run::resume(path, host),
        (None, recipe) => run::start(&recipe.unwrap_or_default(), args.out.as_deref(), host),
    };
    progress.finish();
    let outcome = outcome.map_err(|failure| report_failure(failure, &progress, &device))?;
    let mut outcome = outcome;
    if !outcome.interrupted {
        let asked = || stop.load(Ordering::Relaxed);
        outcome.interrupted = is_stopped(compression::compare_compressors(&outcome.folder, &device, &asked))?;
    }
    // Whoever stops the reading of text waits for no page, and there is nothing new to show.
    if progress.stage_started || !outcome.interrupted {
        write_report(&outcome.folder, &device);
    }
    command_output(&outcome, &progress, json)
}

impl Args {
    fn recipe(&self) -> Result<Recipe, CliError> {
        let default = match (&self.from, self.data.is_empty()) {
            (Some(_), _) => "finetune",
            (None, true) => recipe_source::BUILT_IN_RECIPES[0].name,
            (None, false) => "text",
        };
        let steps = self.steps.map(|steps| format!("stages.*.steps={steps}"));
        let seed = self.seed.map(|seed| format!("seed={seed}"));
        let from = self.from.as_deref().map(overrides_from_model).transpose()?;
        let sets: Vec<String> =
            from.into_iter().flatten().chain(steps).chain(seed).chain(self.set.iter().cloned()).collect();
        let mut recipe = recipe_source::load(self.recipe.as_deref().unwrap_or(default), &sets)?;
        if !self.data.is_empty() {
            recipe.data.source = SourceConfig::Files(self.files_config(&recipe.data.source));
        }
        match &recipe.data.source {
            SourceConfig::Files(files) if files.paths.is_empty() => Err(CliError::usage("the recipe names no text")
                .with_location("data.source.files.paths")
                .with_help("give it with --data PATH")),
            _ => memory_check::check_memory(&recipe).map(|()| recipe),
        }
    }

    fn files_config(&self, recipe: &SourceConfig) -> FilesConfig {
        let mut files = match recipe {
            SourceConfig::Files(files) => files.clone(),
            SourceConfig::Stories(_) => FilesConfig::new([] as [&str; 0]),
        };
        files.paths.clone_from(&self.data);
        files.field = self.field.clone().unwrap_or(files.field);
        files
    }
}

/// What a recipe says of a model that it starts with. Adapters in a folder of their own go on training.
fn overrides_from_model(from: &Path) -> Result<Vec<String>, CliError> {
    let place = model_source(from)?;
    let config = place.config()?;
    let unwritten = |error: toml::ser::Error| CliError::failed("model", error.to_string());
    let model = toml::Value::try_from(&config).map_err(unwritten)?;
    // Where it lies now: a name on the hub is no path that a run could read.
    let path = place.path().display().to_string();
    let mut sets = vec![format!("from={}", toml::Value::from(path)), format!("model={model}")];
    if let ModelSource::WithAdapter { adapter, .. } = &place {
        let model = place.load_model(&Device::flex())?.model;
        let config = AdapterConfig::from_adapters(model.adapters()).ok_or_else(|| {
            CliError::failed(
                "adapter",
                "adapters of several ranks or scales can't go on training: a stage has those of one",
            )
            .with_location(adapter.display().to_string())
            .with_help("`kiln export` with --format hf merges them into a model to start from")
        })?;
        sets.push(format!("stages.0.adapter={}", toml::Value::try_from(&config).map_err(unwritten)?));
    }
    Ok(sets)
}

/// Whether the comparison was stopped.
fn is_stopped(result: Result<(), CliError>) -> Result<bool, CliError> {
    match result {
        Err(trouble) if trouble.kind == "stopped" => Ok(true),
        result => result.map(|()| false),
    }
}

/// A run that failed on the way still shows what it did.
fn report_failure(failure: TrainError, progress: &ProgressReporter, device: &Device) -> CliError {
    if let (TrainError::NotFinite { .. }, Some(run)) = (&failure, &progress.run_folder) {
        write_report(run, device);
    }
    failure.into()
}

/// A run is no failure because its page is one.
fn write_report(run: &Path, device: &Device) {
    if let Err(trouble) = run_report::write_report(run, device) {
        print_message("the run is safe, its report could not be written:");
        trouble.report();
    }
}

fn command_output(outcome: &RunOutcome, progress: &ProgressReporter, json: bool) -> Result<CommandOutput, CliError> {
    let rows = run::load_metrics(&RunPaths::open(&outcome.folder)?)?;
    let (history, run) = (MetricsSummary::from_rows(&rows), outcome.folder.display().to_string());
    let text = if outcome.interrupted {
        let (done, all) = outcome.steps;
        let when = if progress.stage_started { "" } else { "while reading text, " };
        format!("stopped {when}after step {done} of {all}, all is saved; go on with: kiln train --resume {run}")
    } else if progress.already_finished {
        format!("{}\nnothing to do: this run had ended before", run_summary::render(&outcome.folder, &history, &rows))
    } else {
        run_summary::render(&outcome.folder, &history, &rows)
    };
    if json {
        print_message(&text);
    }
    Ok(CommandOutput {
        json: history.to_json(&run),
        text,
        exit_code: if outcome.interrupted { EXIT_INTERRUPTED } else { 0 },
    })
}
