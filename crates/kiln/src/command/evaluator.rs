//! Evaluation of a model on text, at any sequence length. Used by `kiln eval` and `kiln compare`.

use super::{error::CliError, output::print_message};
use burn::tensor::Device;
use kiln_data::{Corpus, DataConfig, FilesConfig, Source, SourceConfig, Subset, Tokenizer, ValidationSplit};
use kiln_infer::block_on;
use kiln_models::{Model, Stack, Visibility};
use kiln_pretrained::Pretrained;
use kiln_train::{
    Models, Objective, ObjectiveConfig, Recipe, StageConfig,
    evaluate::{EvalSet, Evaluation},
    objective::LossKind,
    pretrained::ModelSource,
    run,
    run_folder::RunPaths,
};
use std::sync::Arc;

/// A model and the text it is evaluated on.
///
/// The text is tokenized once; it can then be evaluated at several sequence lengths.
pub struct Evaluator {
    model: Model,
    tokenizer: Tokenizer,
    stage: StageConfig,
    seed: u64,
    corpus: Arc<Corpus>,
    /// Whether the text consists of built-in stories, for which the entropy is known.
    is_builtin_stories: bool,
}

/// Sequence length for models whose training length is unknown.
const DEFAULT_SEQUENCE_LENGTH: usize = 512;

/// Batch size for models that were not trained by Kiln.
const DEFAULT_BATCH_SIZE: usize = 4;

/// Result of an evaluation.
pub struct Measurement {
    /// Loss, accuracy and size of the text.
    pub evaluation: Evaluation,
    /// Whether the loss is a pseudo-log-likelihood: masked tokens, predicted from both sides.
    pub is_pseudo: bool,
}

impl Evaluator {
    /// Loads a model, and tokenizes `files` or, without them, the validation text of the run.
    ///
    /// # Errors
    /// If there are no files and the model is not a run.
    pub fn open(source: ModelSource, files: Option<FilesConfig>, device: &Device) -> Result<Self, CliError> {
        let recipe = source.run_folder().map(|path| run::load_recipe(&RunPaths::open(path)?)).transpose()?;
        check_text(files.as_ref(), recipe.as_ref())?;
        let Pretrained { model, tokenizer, .. } = source.load(device)?;
        let seed = recipe.as_ref().map_or(0, |recipe| recipe.seed);
        let stage = match recipe.as_ref().and_then(|recipe| recipe.stages.last()) {
            Some(stage) => stage.clone(),
            None => default_stage(&model)?,
        };
        let data = recipe.map(|recipe| stage.data_config(&recipe).clone());
        let is_builtin_stories = files.is_none() && data.as_ref().is_some_and(run::is_builtin_stories);
        let (text, split) = open_text(files, data)?;
        print_message(&format!("evaluating on {}", text.describe()));
        let storage = run::token_storage(&std::env::temp_dir());
        let corpus = Arc::new(Corpus::build(&*text, &split, &tokenizer, &storage, |_, _| ())?);
        text.report().messages().iter().for_each(|message| print_message(message));
        Ok(Self { model, tokenizer, stage, seed, corpus, is_builtin_stories })
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
        Ok(EvalSet::new(&self.corpus, &self.tokenizer, (length, batch_size), None, self.is_builtin_stories, self.seed)?)
    }

    /// Evaluates the model with an objective.
    pub fn evaluate(&self, eval_set: &EvalSet, objective: &dyn Objective) -> Result<Measurement, CliError> {
        let models = Models { policy: self.model.clone() };
        let is_pseudo = objective.loss_kind() == LossKind::PseudoLikelihood;
        Ok(Measurement { evaluation: block_on(eval_set.evaluate(&models, objective))?, is_pseudo })
    }
}

/// Checks the first rows of the text that [`open_text`] will open, before the weights are loaded.
fn check_text(files: Option<&FilesConfig>, recipe: Option<&Recipe>) -> Result<(), CliError> {
    let recipe_data = |recipe: &Recipe| match recipe.stages.last() {
        Some(stage) => stage.data_config(recipe).source.clone(),
        None => recipe.data.source.clone(),
    };
    let source = files.map(|files| SourceConfig::Files(files.clone())).or_else(|| recipe.map(recipe_data));
    Ok(source.map_or(Ok(()), |source| source.open()?.check(&|| false))?)
}

/// The whole text of `files`, or the text of `data` with the split of the run.
///
/// `files` take precedence over `data`.
fn open_text(
    files: Option<FilesConfig>,
    data: Option<DataConfig>,
) -> Result<(Box<dyn Source>, ValidationSplit), CliError> {
    match (files, data) {
        (Some(files), _) => Ok((SourceConfig::Files(files).open()?, ValidationSplit::unsplit(Subset::Validation))),
        (None, Some(data)) => {
            let (source, split) = run::open_data(&data, &|| false)?;
            Ok((Box::new(source), split))
        }
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
    let max_positions = config.position.max_positions().unwrap_or(DEFAULT_SEQUENCE_LENGTH);
    let sequence_length = max_positions.min(DEFAULT_SEQUENCE_LENGTH);
    Ok(StageConfig { objective, sequence_length, batch_size: DEFAULT_BATCH_SIZE, ..StageConfig::default() })
}
