//! Evaluation of a model on text, at any sequence length. Used by `kiln eval` and `kiln compare`.

use super::{
    error::CliError,
    objective_metrics::describe,
    output::{print_folded, print_message},
};
use crate::page::MetricDescription;
use burn::tensor::Device;
use kiln_data::{
    ChatTemplate, Corpus, DataConfig, Dataset, FilesConfig, ReadReport, RowSize, SourceConfig, Subset, Tokenizer,
};
use kiln_infer::{GenerateError, block_on};
use kiln_kernels::exact::Arithmetic;
use kiln_models::{Model, Stack, Visibility, WeightPrecision};
use kiln_pretrained::Pretrained;
use kiln_train::{
    Models, Objective, ObjectiveConfig, StageConfig, TrainError,
    evaluate::{EvalSet, Evaluation},
    objective::{Frozen, LossKind, LossUnit},
    pretrained::ModelSource,
    run::{self, RunCheckpoint, load_frozen_models},
    run_folder::RunPaths,
};
use std::{collections::BTreeMap, sync::Arc};

/// The text that a model is evaluated on.
pub enum EvalText {
    /// The evaluation set of the run's stage: the same validation text as in the evaluations of the run.
    EvalSet,
    /// All validation text of the run.
    Validation,
    /// All text of these files.
    Files(FilesConfig),
}

/// A model and the text it is evaluated on.
///
/// The text is tokenized once; it can then be evaluated at several sequence lengths.
pub struct Evaluator {
    model: Model,
    /// The frozen models that the objective of the run reads.
    frozen: BTreeMap<String, Frozen>,
    tokenizer: Tokenizer,
    stage: StageConfig,
    seed: u64,
    corpus: Arc<Corpus>,
    /// Maximum number of tokens that are evaluated.
    max_tokens: Option<u64>,
    /// Whether the text consists of built-in stories, for which the entropy is known.
    is_builtin_stories: bool,
}

/// Sequence length for models whose training length is unknown.
const DEFAULT_SEQUENCE_LENGTH: usize = 512;

/// Batch size for models that were not trained by Kiln.
const DEFAULT_BATCH_SIZE: usize = 4;

/// The frozen models of the run's stage, such as the reference of `preference`; none for a model that is no run.
fn frozen_models(
    source: &ModelSource,
    checkpoint: Option<&RunCheckpoint>,
    model: &Model,
    tokenizer: &Tokenizer,
) -> Result<BTreeMap<String, Frozen>, CliError> {
    let (Some(folder), Some(checkpoint)) = (source.run_folder(), checkpoint) else { return Ok(BTreeMap::new()) };
    let stage = (&checkpoint.recipe, checkpoint.stage.index);
    Ok(load_frozen_models(&RunPaths::open(folder)?, stage, tokenizer, model.clone())?.frozen)
}

/// Result of an evaluation.
pub struct Measurement {
    /// Loss, accuracy and size of the text.
    pub evaluation: Evaluation,
    /// Whether the loss is a pseudo-log-likelihood: masked tokens, predicted from both sides.
    pub is_pseudo: bool,
    /// Name of the objective.
    pub objective: String,
    /// What the loss is averaged over.
    pub unit: LossUnit,
    /// Metrics of the objective.
    pub descriptions: Vec<MetricDescription>,
}

impl Evaluator {
    /// Loads a model and tokenizes the text.
    ///
    /// # Errors
    /// If there are no files and the model is not a run.
    pub fn open(
        source: ModelSource,
        text: EvalText,
        device: &Device,
        precision: WeightPrecision,
    ) -> Result<Self, CliError> {
        let checkpoint = source.checkpoint()?;
        let files = if let EvalText::Files(files) = &text { Some(files.clone()) } else { None };
        let template = source.chat_template()?;
        check_text(files.as_ref(), checkpoint.as_ref(), template.as_ref())?;
        let Pretrained { model, tokenizer, .. } = source.load_as(device, precision)?;
        let frozen = frozen_models(&source, checkpoint.as_ref(), &model, &tokenizer)?;
        let seed = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.recipe.seed);
        let stage = match &checkpoint {
            Some(checkpoint) => checkpoint.stage_config().clone(),
            None => default_stage(&model)?,
        };
        checkpoint.iter().for_each(describe_checkpoint);
        let data = checkpoint.map(|checkpoint| stage.data_config(&checkpoint.recipe).clone());
        let max_tokens = matches!(text, EvalText::EvalSet).then(|| stage.eval_set_tokens());
        let is_builtin_stories = files.is_none() && data.as_ref().is_some_and(run::is_builtin_stories);
        let (dataset, is_whole) = open_text(files, data)?;
        print_message(&format!("evaluating on {}", dataset.describe()));
        let storage = run::token_storage(&std::env::temp_dir());
        let template = template.as_ref();
        let corpus = match is_whole {
            true => dataset.build_unsplit(Subset::Validation, &tokenizer, template, &storage, |_, _| ())?,
            false => dataset.build_corpus(&tokenizer, template, &storage, |_, _| ())?,
        };
        let report = ReadReport { without_answer: corpus.without_answer.clone(), ..dataset.report() };
        report.messages().iter().for_each(|message| print_folded(message));
        let corpus = Arc::new(corpus);
        Ok(Self { model, frozen, tokenizer, stage, seed, corpus, max_tokens, is_builtin_stories })
    }

    /// Sequence length of the training.
    pub fn trained_sequence_length(&self) -> usize {
        self.stage.sequence_length
    }

    /// Objective of the training.
    pub fn objective(&self) -> Box<dyn Objective> {
        self.stage.objective.build()
    }

    /// The text in sequences of `length` tokens, with as many tokens per batch as in training.
    ///
    /// Documents that are longer than a sequence are split; at a greater length, more tokens have a long context.
    pub fn eval_set(&self, length: usize) -> Result<EvalSet, CliError> {
        let batch_size = (self.stage.sequence_length * self.stage.batch_size / length.max(1)).max(1);
        let row = RowSize { tokens: length, reserved: self.model.num_virtual_tokens() };
        let size = (row, batch_size);
        let is_builtin_stories = self.is_builtin_stories;
        Ok(EvalSet::new(&self.corpus, &self.tokenizer, size, self.max_tokens, is_builtin_stories, self.seed)?)
    }

    /// Evaluates the model with an objective.
    ///
    /// # Errors
    /// If the objective predicts no token of the text, or finds no other unit in it; if it has a loss of its own, which isn't
    /// computed in exact arithmetic.
    pub fn evaluate(
        &self,
        eval_set: &EvalSet,
        objective: &dyn Objective,
        arithmetic: Arithmetic,
    ) -> Result<Measurement, CliError> {
        if arithmetic.is_exact() && (objective.unit() != LossUnit::Token || !objective.metrics().is_empty()) {
            let name = self.stage.objective.name();
            let reason = format!("the objective `{name}` has a loss of its own, which has no batch-invariant form");
            return Err(CliError::usage(reason).with_location("--exact").with_help("leave --exact out"));
        }
        self.model.check_arithmetic(arithmetic).map_err(GenerateError::from)?;
        let models = Models { policy: self.model.clone(), frozen: self.frozen.clone() };
        let is_pseudo = objective.loss_kind() == LossKind::PseudoLikelihood;
        let evaluation = block_on(eval_set.evaluate_in(&models, objective, arithmetic))?;
        let unit = objective.unit();
        let has_units = if unit == LossUnit::Token { evaluation.tokens > 0 } else { !evaluation.loss.is_nan() };
        if !has_units {
            let message = format!("the objective finds no {} in the text: there is no loss", unit.name());
            return Err(CliError::failed("no-targets", message).with_help("give more data with --data PATH"));
        }
        let descriptions = objective.metrics().iter().map(describe).collect();
        Ok(Measurement { evaluation, is_pseudo, objective: self.stage.objective.name().into(), unit, descriptions })
    }
}

/// Prints which checkpoint of a run is evaluated, and with which objective if that is not the one it was trained with.
fn describe_checkpoint(checkpoint: &RunCheckpoint) {
    print_message(&format!("checkpoint of step {}", checkpoint.run_step()));
    let stage = checkpoint.stage_config();
    if let Some(name) = &stage.external_objective {
        let objective = stage.objective.name();
        print_folded(&format!(
            "the run was trained with the objective `{name}`, which is implemented in Rust; it is evaluated with \
             `{objective}`, the objective of its recipe"
        ));
    }
}

/// Checks the first rows of the text that [`open_text`] will open, before the weights are loaded.
fn check_text(
    files: Option<&FilesConfig>,
    checkpoint: Option<&RunCheckpoint>,
    template: Option<&ChatTemplate>,
) -> Result<(), CliError> {
    let run_data = |run: &RunCheckpoint| run.stage_config().data_config(&run.recipe).clone();
    let data = files.map(data_of_files).or_else(|| checkpoint.map(run_data));
    Ok(data.map_or(Ok(()), |data| {
        run::open_data(&data, &|| false)?.check(template, &|| false).map_err(TrainError::from)
    })?)
}

/// Files with a format that is recognized.
fn data_of_files(files: &FilesConfig) -> DataConfig {
    DataConfig { source: SourceConfig::Files(files.clone()), ..DataConfig::default() }
}

/// The whole text of `files` (then `true`), or the text of `data`, to be split as in the run.
///
/// `files` take precedence over `data`.
fn open_text(files: Option<FilesConfig>, data: Option<DataConfig>) -> Result<(Dataset<'static>, bool), CliError> {
    match (files, data) {
        (Some(files), _) => Ok((run::open_data(&data_of_files(&files), &|| false)?, true)),
        (None, Some(data)) => Ok((run::open_data(&data, &|| false)?, false)),
        (None, None) => Err(CliError::usage("the model has no validation text")
            .with_location("--data")
            .with_help("give a text with --data PATH")),
    }
}

/// Objective and sizes for a model that was not trained by Kiln: masked language modeling if its attention is
/// bidirectional, else next-token prediction.
///
/// Refuses models whose head predicts no tokens.
fn default_stage(model: &Model) -> Result<StageConfig, CliError> {
    let config = model.config();
    let objective = match config.effective_visibility() {
        Visibility::Bidirectional => ObjectiveConfig::Masked(Default::default()),
        _ => ObjectiveConfig::Full(Default::default()),
    };
    let help = match config.stack {
        Stack::EncoderDecoder => {
            "use `kiln logits MODEL --ids … --decoder-ids …` for the logits of the tokens of a continuation"
        }
        _ => "use `kiln embed` for sentence embeddings, or `kiln logits` for the output of the head",
    };
    objective
        .check(config, "model")
        .map_err(|error| CliError::usage(error.reason).with_location(error.path).with_help(help))?;
    let max_positions = config.max_positions().unwrap_or(DEFAULT_SEQUENCE_LENGTH);
    let sequence_length = max_positions.min(DEFAULT_SEQUENCE_LENGTH);
    Ok(StageConfig { objective, sequence_length, batch_size: DEFAULT_BATCH_SIZE, ..StageConfig::default() })
}
