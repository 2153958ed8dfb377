//! A page for tests: a session with its events, and a recipe of a tiny model.

use burn::tensor::Device;
use kiln_infer::block_on;
use kiln_train::run::Runtime;
use kiln_web::{Answer, Call, Host, Session, SessionError};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

/// A run of 12 steps with a checkpoint after every third.
pub const RECIPE: &str = r#"
name = "tiny"
seed = 3
tokenizer = "byte"
data = { source = { stories = { megabytes = 0.02 } } }

[model]
hidden = 8
[[model.blocks]]
repeat = 2
sublayers = [{ parts = [{ attention = { projection = { heads = { heads = 2 } } } }] }, { parts = ["gated_mlp"] }]

[[stages]]
name = "one"
steps = 12
sequence_length = 32
batch_size = 2
eval_every = 6
eval_tokens = 128
num_samples = 1
sample_tokens = 4
checkpoint_every = 3
"#;

/// A session and the events that it has sent.
pub struct Page {
    pub session: Session,
    events: Rc<RefCell<Vec<Value>>>,
}

struct Recorder {
    events: Rc<RefCell<Vec<Value>>>,
    start: Instant,
}

impl Runtime for Recorder {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_time(&self) -> f64 {
        1.8e9
    }

    /// Pending once, so that other calls get their turn.
    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        let mut has_yielded = false;
        Box::pin(poll_fn(move |_| match std::mem::replace(&mut has_yielded, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }))
    }
}

impl Host for Recorder {
    fn emit(&self, event: Value) {
        self.events.borrow_mut().push(event);
    }
}

impl Page {
    pub fn new() -> Self {
        Self::with_files(Vec::new())
    }

    /// A page that has read back files of an earlier one.
    pub fn with_files(files: Vec<(String, Vec<u8>)>) -> Self {
        let events = Rc::<RefCell<Vec<Value>>>::default();
        let host = Recorder { events: events.clone(), start: Instant::now() };
        Self { session: Session::with_files(Device::flex(), host, files), events }
    }

    /// The events of a kind so far.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.events.borrow().iter().filter(|event| event["event"] == kind).cloned().collect()
    }

    pub async fn try_call(&self, name: &str, arguments: Value) -> Result<Answer, SessionError> {
        self.session.call(Call::new(name, arguments)).await
    }

    /// A call that succeeds.
    pub fn answer(&self, name: &str, arguments: Value) -> Answer {
        block_on(self.try_call(name, arguments)).unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    pub fn call(&self, name: &str, arguments: Value) -> Value {
        self.answer(name, arguments).value
    }

    /// A call that is refused.
    pub fn refusal(&self, name: &str, arguments: Value) -> SessionError {
        match block_on(self.try_call(name, arguments)) {
            Ok(answer) => panic!("{name}: {answer:?}"),
            Err(error) => error,
        }
    }

    pub fn open(&self, files: Vec<(String, Vec<u8>)>) -> Result<Value, SessionError> {
        let call = Call { name: "open".into(), files, ..Call::default() };
        block_on(self.session.call(call)).map(|answer| answer.value)
    }

    /// Trains the recipe to its end and returns the name of the run.
    pub fn train(&self) -> String {
        let outcome = self.call("train", json!({ "toml": RECIPE }));
        outcome["run"].as_str().unwrap().to_owned()
    }

    /// Trains the recipe until a step has been written, and meanwhile calls `then`. Returns both answers.
    pub fn train_until<R>(&self, step: u64, then: impl AsyncFnOnce() -> R) -> (Value, R) {
        let is_written = || self.events("metrics").iter().any(|event| event["row"]["step"] == step);
        self.train_when(json!({ "toml": RECIPE }), is_written, then)
    }

    /// Trains, and calls `then` as soon as `is_due` meanwhile. Returns both answers.
    pub fn train_when<R>(
        &self,
        arguments: Value,
        is_due: impl Fn() -> bool,
        then: impl AsyncFnOnce() -> R,
    ) -> (Value, R) {
        let training = async { self.try_call("train", arguments).await.unwrap().value };
        let other = async {
            poll_fn(|_| if is_due() { Poll::Ready(()) } else { Poll::Pending }).await;
            then().await
        };
        block_on(join(training, other))
    }
}

/// Runs two futures in turns.
async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (&first, &second) {
            (Some(_), Some(_)) => Poll::Ready((first.take().unwrap(), second.take().unwrap())),
            _ => Poll::Pending,
        }
    })
    .await
}
