//! The program around a session.

use kiln_train::run::{BatchFunction, Batches, Runtime};
use serde_json::Value;
use std::{ops::Range, pin::Pin, time::Duration};

/// The program around a session: time, moments for other work, and a receiver of events.
pub trait Host: Runtime {
    /// Receives an event: an object with the key `event`.
    fn emit(&self, event: Value);
}

/// A host that ignores events, with the clock of a runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet<R>(pub R);

impl<R: Runtime> Host for Quiet<R> {
    fn emit(&self, _event: Value) {}
}

impl<R: Runtime> Runtime for Quiet<R> {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn unix_time(&self) -> f64 {
        self.0.unix_time()
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        self.0.yield_now()
    }

    fn batches(&self, steps: Range<u64>, compute: BatchFunction) -> Batches {
        self.0.batches(steps, compute)
    }
}
