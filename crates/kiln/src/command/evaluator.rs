//! A run's model and text to measure it on, in rows of any length.

use super::{error::CliError, output::print_message};
use burn::tensor::Device;
use kiln_data::{Corpus, FilesConfig, Source, SourceConfig, Subset, Tokenizer, ValidationSplit};
use kiln_infer::block_on;
use kiln_models::{Model, Stack, Visibility};
use kiln_pretrained::Pretrained;
use kiln_train::{
    Models, Objective, ObjectiveConfig, StageConfig,
    evaluate::{EvalSet, Evaluation},
    objective::LossKind,
    pretrained::ModelSource,
    run,
    run_folder::RunPaths,
};
use std::sync::Arc;

/// A model beside its text.
pub struct Evaluator {
    model: Model,
    tokenizer: Tokenizer,
    stage: StageConfig,
    seed: u64,
    corpus: Arc<Corpus>,
    is_built_in: bool,
}

/// Tokens a row where nothing says how many a model was trained on.
const DEFAULT_SEQUENCE_LENGTH: usize = 512;

/// What was found, and whether tokens were seen from both sides.
pub struct Measurement {
    /// The figures.
    pub evaluation: Evaluation,
    /// Whether the loss is that of a masked model.
    pub is_pseudo: bool,
}

impl Evaluator {
    /// The text that a run held out, or all of other files; a model of others has no text of its own.
    pub fn open(place: ModelSource, files: Option<FilesConfig>, device: &Device) -> Result<Self, CliError> {
        let recipe = place.run_folder().map(|path| run::load_recipe(&RunPaths::open(path)?)).transpose()?;
        let Pretrained { model, tokenizer, .. } = place.load(device)?;
        let seed = recipe.as_ref().map_or(0, |recipe| recipe.seed);
        let stage = recipe.as_ref().and_then(|recipe| recipe.stages.last().cloned());
        let stage = stage.map_or_else(|| default_stage(&model), Ok)?;
        let data = recipe.map(|recipe| stage.data_config(&recipe).clone());
        let built_in = files.is_none() && data.as_ref().is_some_and(run::is_built_in);
        let (source, split): (Box<dyn Source>, ValidationSplit) = match (files, data) {
            (Some(files), _) => (SourceConfig::Files(files).open()?, ValidationSplit::unsplit(Subset::Validation)),
            (None, Some(data)) => {
                let (source, split) = run::open_data(&data, &|| false)?;
                (Box::new(source), split)
            }
            (None, None) => {
                let help = "name a text with --data PATH";
                return Err(CliError::usage("the model comes without text to measure it on")
                    .with_location("--data")
                    .with_help(help));
            }
        };
        print_message(&format!("measuring on {}", source.describe()));
        let room = run::token_storage(&std::env::temp_dir());
        let corpus = Arc::new(Corpus::build(&*source, &split, &tokenizer, &room, |_, _| ())?);
        Ok(Self { model, tokenizer, stage, seed, corpus, is_built_in: built_in })
    }

    /// Tokens a row that it was trained on.
    pub fn trained_sequence_length(&self) -> usize {
        self.stage.sequence_length
    }

    /// What the model was trained for.
    pub fn objective(&self) -> Box<dyn Objective> {
        self.stage.objective.build()
    }

    /// The text in rows of `length` tokens, as many tokens a batch as in training.
    pub fn eval_set(&self, length: usize) -> Result<EvalSet, CliError> {
        let rows = (self.stage.sequence_length * self.stage.batch_size / length.max(1)).max(1);
        Ok(EvalSet::new(&self.corpus, &self.tokenizer, (length, rows), None, self.is_built_in, self.seed)?)
    }

    /// Measures.
    pub fn evaluate(&self, held: &EvalSet, objective: &dyn Objective) -> Result<Measurement, CliError> {
        let models = Models { policy: self.model.clone() };
        let pseudo = objective.loss_kind() == LossKind::PseudoLikelihood;
        Ok(Measurement { evaluation: block_on(held.evaluate(&models, objective))?, is_pseudo: pseudo })
    }
}

/// What others' models were trained for, as far as they say: what sees both sides fills masks, all else goes on.
fn default_stage(model: &Model) -> Result<StageConfig, CliError> {
    let objective = match model.config().effective_visibility() {
        Visibility::Bidirectional => ObjectiveConfig::Masked(Default::default()),
        _ => ObjectiveConfig::Full(Default::default()),
    };
    let help = match model.config().stack {
        Stack::EncoderDecoder => {
            "`kiln logits MODEL --ids … --decoder-ids …` says what it gives to the tokens of a continuation"
        }
        _ => "`kiln embed` gives vectors of texts, `kiln logits` what the head says",
    };
    let refused = |refusal: kiln_spec::ValidationError| {
        CliError::usage(refusal.reason).with_location(refusal.path).with_help(help)
    };
    objective.check(model.config(), "model").map_err(refused)?;
    let length =
        model.config().position.max_positions().unwrap_or(DEFAULT_SEQUENCE_LENGTH).min(DEFAULT_SEQUENCE_LENGTH);
    Ok(StageConfig { objective, sequence_length: length, batch_size: 4, ..StageConfig::default() })
}
