//! Calls `train`, `resume`, `pause`.

use crate::{
    Answer, Session, SessionError,
    listener::RunListener,
    recipe::{RecipeArguments, check_memory},
    runs::RunArguments,
};
use kiln_train::{
    TrainError,
    run::{Environment, RunContext, RunOutcome, resume_in, start_in},
};
use serde::Deserialize;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Arguments of the call `train`.
#[derive(Deserialize)]
pub struct TrainArguments {
    #[serde(flatten)]
    recipe: RecipeArguments,
    /// Name of the run, if it differs from that of the recipe.
    #[serde(default)]
    name: Option<String>,
}

impl Session {
    /// Starts a run in the first free one of `runs/<name>`, `runs/<name>-2`, …, and trains it to its end or to `pause`.
    pub(crate) async fn train(&self, arguments: TrainArguments) -> Result<Answer, SessionError> {
        let mut recipe = arguments.recipe.load()?;
        check_memory(&recipe, &self.device)?;
        recipe.name = arguments.name.filter(|name| !name.is_empty()).unwrap_or(recipe.name);
        self.run(async |environment, context| start_in(&recipe, None, environment, context).await).await
    }

    /// Resumes a run from its last checkpoint.
    pub(crate) async fn resume(&self, arguments: RunArguments) -> Result<Answer, SessionError> {
        self.check_not_training(&arguments.run)?;
        let folder = self.paths(&arguments.run)?.root().to_owned();
        self.run(async |environment, context| resume_in(&folder, environment, context).await).await
    }

    /// Runs `train` with a listener, and answers where the run has ended.
    async fn run(
        &self,
        train: impl AsyncFnOnce(&Environment, RunContext) -> Result<RunOutcome, TrainError>,
    ) -> Result<Answer, SessionError> {
        let stop_flag = Arc::new(AtomicBool::new(false));
        let mut listener = RunListener::new(self, stop_flag.clone());
        let environment = Environment::new(Arc::new(self.storage.clone()), &*self.host);
        let context = RunContext { device: self.device.clone(), stop_flag: &stop_flag, listener: &mut listener };
        let outcome = train(&environment, context).await?;
        let run = listener.run().unwrap_or_default().to_owned();
        drop(listener);
        let progress = self.progress(&run)?;
        Ok(json!({
            "run": run,
            "step": progress.step,
            "steps": progress.steps,
            "interrupted": outcome.interrupted,
        })
        .into())
    }

    /// Asks a run in training to save a checkpoint and to end.
    pub(crate) fn pause(&self, arguments: &RunArguments) -> Result<Answer, SessionError> {
        let training = self.training.borrow();
        let Some(stop_flag) = training.get(&arguments.run) else {
            let message = format!("the run `{}` is not training", arguments.run);
            return Err(SessionError::new("not-training", message).at("run"));
        };
        stop_flag.store(true, Ordering::Relaxed);
        Ok(json!({}).into())
    }

    /// Refuses a run that is training.
    pub(crate) fn check_not_training(&self, run: &str) -> Result<(), SessionError> {
        if !self.training.borrow().contains_key(run) {
            return Ok(());
        }
        let error = SessionError::new("locked", format!("the run `{run}` is training")).at("run");
        Err(error.with_help("pause it first"))
    }
}
