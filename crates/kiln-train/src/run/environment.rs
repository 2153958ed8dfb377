//! What a run needs of the program around it: storage, time, and moments for other work.

use super::objectives::{ObjectiveFactory, recipe_objective};
use crate::storage::Storage;
use kiln_data::{DataError, PackedSequences, Pause, StopSignal};
use std::{ops::Range, pin::Pin, sync::Arc, time::Duration};

/// Computes the packed rows of a step.
pub type BatchFunction = Box<dyn FnMut(u64) -> Result<PackedSequences, DataError> + Send>;

/// The packed rows of consecutive steps.
pub type Batches = Box<dyn Iterator<Item = Result<PackedSequences, DataError>>>;

/// The program around a run. No result depends on it, except the times in the metrics.
///
/// The runtime of a page in a browser reads the clock of the page, and yields to the event loop after each step.
pub trait Runtime {
    /// Time since a fixed moment. It never goes backward.
    fn now(&self) -> Duration;

    /// Time since 1970-01-01 UTC, in seconds.
    fn unix_time(&self) -> f64;

    /// Lets other work of the thread go on, such as the handling of messages. Awaited after each step, each batch of an evaluation
    /// and each token of a sample, and between pieces of reading, tokenizing and training a tokenizer. Default: returns at once.
    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(std::future::ready(()))
    }

    /// The results of `compute` for `steps`, in order. Default: each is computed when it is asked for.
    fn batches(&self, steps: Range<u64>, compute: BatchFunction) -> Batches {
        Box::new(steps.map(compute))
    }
}

/// A pause of long work: [`Runtime::yield_now`], and the end of the work if `stop` then returns true. `origin` says what was
/// stopped.
pub(super) fn pause<'a>(runtime: &'a dyn Runtime, stop: StopSignal<'a>, origin: &'a str) -> impl Pause + 'a {
    async move || {
        runtime.yield_now().await;
        match stop() {
            true => Err(DataError::Stopped { origin: origin.to_owned() }),
            false => Ok(()),
        }
    }
}

/// Runtime without a clock: all times are 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untimed;

impl Runtime for Untimed {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn unix_time(&self) -> f64 {
        0.0
    }
}

/// Storage, runtime and objectives of a run.
#[derive(Clone)]
pub struct Environment<'a> {
    /// Where the files of the run are kept.
    pub storage: Arc<dyn Storage>,
    /// The program around the run.
    pub runtime: &'a dyn Runtime,
    /// Makes the objectives.
    pub objectives: ObjectiveFactory<'a>,
}

impl<'a> Environment<'a> {
    /// An environment with the objectives that the recipe names.
    pub fn new(storage: Arc<dyn Storage>, runtime: &'a dyn Runtime) -> Self {
        Self { storage, runtime, objectives: &recipe_objective }
    }
}
