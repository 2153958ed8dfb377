//! A run's model and text to measure it on, in rows of any length.

use super::{output::say, trouble::Trouble};
use kiln_data::{Corpus, FilesConfig, Side, Source, SourceConfig, Split};
use kiln_infer::block_on;
use kiln_train::{
    Models, Objective, StageConfig,
    evaluate::{Evaluation, Held},
    objective::Measure,
    run::{self, Loaded},
};
use std::{path::Path, sync::Arc};

/// A model beside its text.
pub struct Bench {
    loaded: Loaded,
    stage: StageConfig,
    corpus: Arc<Corpus>,
    built_in: bool,
}

/// What was found, and whether tokens were seen from both sides.
pub struct Measured {
    /// The figures.
    pub found: Evaluation,
    /// Whether the loss is that of a masked model.
    pub pseudo: bool,
}

impl Bench {
    /// The run's held-out text, or all of other files'.
    pub fn open(loaded: Loaded, files: Option<FilesConfig>) -> Result<Self, Trouble> {
        let stage = loaded.recipe.stages.last().cloned().unwrap_or_default();
        let data = stage.data.clone().unwrap_or(loaded.recipe.data.clone());
        let room = run::room(&std::env::temp_dir());
        let built_in = files.is_none() && run::built_in(&data);
        let (source, split): (Box<dyn Source>, Split) = match files {
            None => {
                let (source, split) = run::open(&data, &|| false)?;
                (Box::new(source), split)
            }
            Some(files) => (SourceConfig::Files(files).open()?, Split::whole(Side::Validation)),
        };
        say(&format!("measuring on {}", source.describe()));
        let corpus = Arc::new(Corpus::build(&*source, &split, &loaded.tokenizer, &room, |_, _| ())?);
        Ok(Self { loaded, stage, corpus, built_in })
    }

    /// A run's own.
    pub fn of_run(path: &Path, device: &burn::tensor::Device) -> Result<Self, Trouble> {
        Self::open(run::load(path, device)?, None)
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
        let Loaded { tokenizer, recipe, .. } = &self.loaded;
        Ok(Held::new(&self.corpus, tokenizer, (length, rows), None, self.built_in, recipe.seed)?)
    }

    /// Measures.
    pub fn measure(&self, held: &Held, objective: &dyn Objective) -> Result<Measured, Trouble> {
        let models = Models { policy: self.loaded.model.clone() };
        let pseudo = objective.measure() == Measure::Pseudo;
        Ok(Measured { found: block_on(held.evaluate(&models, objective))?, pseudo })
    }
}
