//! A run's model and text to measure it on, in rows of any length.

use super::{output::say, trouble::Trouble};
use burn::tensor::Device;
use kiln_data::{Corpus, FilesConfig, Side, Source, SourceConfig, Split, Tokenizer};
use kiln_infer::block_on;
use kiln_models::{Model, Stack, Visibility};
use kiln_train::{
    Models, Objective, ObjectiveConfig, StageConfig,
    evaluate::{Evaluation, Held},
    folder::RunPaths,
    objective::Measure,
    pretrained::{Loaded, Place},
    run,
};
use std::sync::Arc;

/// A model beside its text.
pub struct Bench {
    model: Model,
    tokenizer: Tokenizer,
    stage: StageConfig,
    seed: u64,
    corpus: Arc<Corpus>,
    built_in: bool,
}

/// Tokens a row where nothing says how many a model was trained on.
const LENGTH: usize = 512;

/// What was found, and whether tokens were seen from both sides.
pub struct Measured {
    /// The figures.
    pub found: Evaluation,
    /// Whether the loss is that of a masked model.
    pub pseudo: bool,
}

impl Bench {
    /// The text that a run held out, or all of other files; a model of others has no text of its own.
    pub fn open(place: Place, files: Option<FilesConfig>, device: &Device) -> Result<Self, Trouble> {
        let recipe = place.run().map(|path| run::recipe(&RunPaths::open(path)?)).transpose()?;
        let Loaded { model, tokenizer, .. } = place.load(device)?;
        let seed = recipe.as_ref().map_or(0, |recipe| recipe.seed);
        let stage = recipe.as_ref().and_then(|recipe| recipe.stages.last().cloned());
        let stage = stage.map_or_else(|| of_others(&model), Ok)?;
        let data = recipe.map(|recipe| stage.data(&recipe).clone());
        let built_in = files.is_none() && data.as_ref().is_some_and(run::built_in);
        let (source, split): (Box<dyn Source>, Split) = match (files, data) {
            (Some(files), _) => (SourceConfig::Files(files).open()?, Split::whole(Side::Validation)),
            (None, Some(data)) => {
                let (source, split) = run::open(&data, &|| false)?;
                (Box::new(source), split)
            }
            (None, None) => {
                let help = "name a text with --data PATH";
                return Err(Trouble::asked("the model comes without text to measure it on").at("--data").help(help));
            }
        };
        say(&format!("measuring on {}", source.describe()));
        let room = run::room(&std::env::temp_dir());
        let corpus = Arc::new(Corpus::build(&*source, &split, &tokenizer, &room, |_, _| ())?);
        Ok(Self { model, tokenizer, stage, seed, corpus, built_in })
    }

    /// Tokens a row that it was trained on.
    pub fn trained_length(&self) -> usize {
        self.stage.length
    }

    /// What the model was trained for.
    pub fn objective(&self) -> Box<dyn Objective> {
        self.stage.objective.build()
    }

    /// The text in rows of `length` tokens, as many tokens a batch as in training.
    pub fn held(&self, length: usize) -> Result<Held, Trouble> {
        let rows = (self.stage.length * self.stage.rows / length.max(1)).max(1);
        Ok(Held::new(&self.corpus, &self.tokenizer, (length, rows), None, self.built_in, self.seed)?)
    }

    /// Measures.
    pub fn measure(&self, held: &Held, objective: &dyn Objective) -> Result<Measured, Trouble> {
        let models = Models { policy: self.model.clone() };
        let pseudo = objective.measure() == Measure::Pseudo;
        Ok(Measured { found: block_on(held.evaluate(&models, objective))?, pseudo })
    }
}

/// What others' models were trained for, as far as they say: what sees both sides fills masks, all else goes on.
fn of_others(model: &Model) -> Result<StageConfig, Trouble> {
    let objective = match model.config().own_visibility() {
        Visibility::Bidirectional => ObjectiveConfig::Masked(Default::default()),
        _ => ObjectiveConfig::Full(Default::default()),
    };
    let help = match model.config().stack {
        Stack::EncoderDecoder => {
            "`kiln logits MODEL --ids … --decoder-ids …` says what it gives to the tokens of a continuation"
        }
        _ => "`kiln embed` gives vectors of texts, `kiln logits` what the head says",
    };
    let refused = |refusal: kiln_spec::Refusal| Trouble::asked(refusal.reason).at(refusal.path).help(help);
    objective.check(model.config(), "model").map_err(refused)?;
    let length = model.config().position.limit().unwrap_or(LENGTH).min(LENGTH);
    Ok(StageConfig { objective, length, rows: 4, ..StageConfig::default() })
}
