//! Flags of `kiln train` that set one key of each stage, under the names of other trainers.

use super::{error::CliError, recipe_source};

/// Flags for the keys of a stage that are changed most often.
#[derive(Debug, Default, clap::Args)]
pub struct StageFlags {
    /// Number of optimizer steps of each stage (default: from the recipe). Warmup, decay, `eval_every` and
    /// `checkpoint_every` follow if they are given as fractions of the stage.
    #[arg(long, visible_alias = "max-steps", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// Length of each stage in passes over the training data, instead of a number of steps.
    #[arg(long, visible_alias = "num-train-epochs", value_name = "N", conflicts_with = "steps")]
    pub epochs: Option<f64>,
    /// Peak learning rate of the schedule of each stage.
    #[arg(long, visible_alias = "lr", value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// Number of sequences per optimizer step of each stage.
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Sequence length of each stage in tokens.
    #[arg(long, visible_alias = "max-seq-length", value_name = "N")]
    pub sequence_length: Option<usize>,
}

impl StageFlags {
    /// The assignments of the flags over the recipe `name` with the assignments `before`. The learning rate is a key of the
    /// schedule that each stage has.
    pub fn assignments(&self, name: &str, before: &[String]) -> Result<Vec<String>, CliError> {
        let mut sets = Vec::new();
        sets.extend(self.steps.map(|steps| format!("stages.*.steps={steps}")));
        sets.extend(self.epochs.map(|epochs| format!("stages.*.epochs={epochs}")));
        sets.extend(self.batch_size.map(|size| format!("stages.*.batch_size={size}")));
        sets.extend(self.sequence_length.map(|length| format!("stages.*.sequence_length={length}")));
        if let Some(rate) = self.learning_rate {
            let recipe = recipe_source::load(name, before)?;
            let stages = recipe.stages.iter().enumerate();
            sets.extend(stages.map(|(index, stage)| {
                format!("stages.{index}.schedule.{}.learning_rate={rate:?}", stage.schedule.name())
            }));
        }
        Ok(sets)
    }
}
