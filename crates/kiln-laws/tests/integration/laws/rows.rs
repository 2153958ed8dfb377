//! Operations on rows of decode state over many pages, and what they refuse.

use kiln_infer::{
    CacheDtype, block_on,
    equivalence::{self, ModelRunner},
    row_equivalence,
};
use kiln_laws::{device, parameters::to_f64, strategies::VOCAB};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{Context, State, StateError, context::rows::SNAPSHOT_INTERVAL};
use kiln_spec::{Direction, pages::PAGE_SIZE};

const HIDDEN: usize = 16;

/// Parts with a state, one of each kind.
const PARTS: [(&str, &str); 9] = [
    ("global", "{ attention = { projection = { heads = { heads = 2 } } } }"),
    (
        "grouped",
        "{ attention = { projection = { heads = { heads = 4, kv_heads = 2 } }, score = { softmax = { softcap = 5.0, sink = true } } } }",
    ),
    ("window", "{ attention = { pattern = { window = { before = 40 } }, projection = { heads = { heads = 2 } } } }"),
    (
        "sinks",
        "{ attention = { pattern = { or = [{ global_tokens = { first = 2 } }, { window = { before = 20 } }] } } }",
    ),
    ("global tokens", "{ attention = { pattern = { global_tokens = { first = 3 } } } }"),
    ("latent", "{ attention = { projection = { latent = { heads = 2, kv_lora_rank = 12 } } } }"),
    ("bias", "{ attention = { position = 'alibi', source = { segments = { prefix_length = 3 } } } }"),
    ("sigmoid", "{ attention = { score = { sigmoid = {} } } }"),
    ("recurrent", "'mamba2'"),
];

fn model(part: &str) -> Model {
    let text = format!(
        "vocab = {VOCAB}\nhidden = {HIDDEN}\nblocks = [{{ repeat = 2, sublayers = [{{ parts = [{part}] }}] }}]"
    );
    let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("legal");
    config.resolve();
    Model::init(&config, 1, &device())
}

fn document(seed: usize, length: usize) -> Vec<u32> {
    (0..length).map(|i| ((i * i + 7 * i + seed * (i + 3)) % VOCAB) as u32).collect()
}

/// A model whose caches are of a type.
struct WithCache<'a>(&'a Model, CacheDtype);

impl ModelRunner for WithCache<'_> {
    fn model(&self) -> &Model {
        self.0
    }

    fn forward(&self, tokens: burn::tensor::Tensor<2, burn::tensor::Int>, cx: &mut Context) -> burn::tensor::Tensor<3> {
        cx.state = cx.state.take().map(|state| state.with_cache_dtype(self.1));
        self.0.forward(tokens, cx)
    }
}

/// Selected, forked, truncated and joined rows of up to five pages, in one-token and in longer calls. f64 concatenates tensors,
/// f32 reads pages; 16-bit pages round keys and values to 11 bits.
#[test]
fn rows_of_many_pages_are_alone() {
    for (name, part) in PARTS {
        let single = model(part);
        let double = to_f64(model(part));
        for (model, dtype, bound) in
            [(&double, CacheDtype::F32, 1e-9), (&single, CacheDtype::F32, 2e-4), (&single, CacheDtype::F16, 2e-2)]
        {
            let run = WithCache(model, dtype);
            let documents = [document(1, 300), document(2, 131), document(3, 190)];
            let detours = [document(4, 70), document(5, 1), document(6, 140)];
            let tails = [document(1, 80), document(2, 66), document(3, 12)];
            for chunk in [1, 47] {
                let apart = [
                    block_on(row_equivalence::selected_difference(&run, &documents, chunk)),
                    block_on(row_equivalence::forked_difference(&run, &document(7, 90), &tails, chunk)),
                    block_on(row_equivalence::truncated_difference(&run, &documents, &detours, chunk)),
                    block_on(row_equivalence::joined_difference(&run, &documents, chunk)),
                    block_on(equivalence::chunked_difference(&run, &documents, &[chunk])),
                ];
                for (apart, what) in apart.into_iter().zip(["selected", "forked", "truncated", "joined", "chunked"]) {
                    let apart = apart.expect("numbers");
                    assert!(
                        apart <= bound,
                        "{name} {dtype:?} in chunks of {chunk}: {what} {apart:e}, at most {bound:e}"
                    );
                }
            }
        }
    }
}

/// A batch changes no bit of a row in one-token calls: page and chunk borders depend on the row alone.
#[test]
fn a_row_has_the_same_bits_in_any_batch() {
    let model = model(PARTS[1].1);
    let read = |documents: &[Vec<u32>]| {
        let mut state = State::new(documents.len());
        let mut last = None;
        for i in 0..150 {
            let tokens: Vec<i32> = documents.iter().map(|document| document[i] as i32).collect();
            let (hidden, next) = model.step(&tokens, &vec![1; documents.len()], Direction::Causal, state);
            (state, last) = (next, Some(hidden.narrow(0, 0, 1)));
        }
        last.expect("tokens").into_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>()
    };
    let documents = [document(1, 150), document(2, 150)];
    assert_eq!(read(&documents[..1]), read(&documents));
}

fn state_after(model: &Model, length: usize, chunk: usize) -> State {
    let mut state = State::new(1);
    for part in document(1, length).chunks(chunk) {
        let tokens: Vec<i32> = part.iter().map(|id| *id as i32).collect();
        state = model.step(&tokens, &[tokens.len()], Direction::Causal, state).1;
    }
    state
}

#[test]
fn forks_share_pages() {
    let model = model(PARTS[0].1);
    let mut state = state_after(&model, 200, 50);
    let page = 2 * PAGE_SIZE * 2 * HIDDEN * 4;
    // Two layers of four pages; head width 8 is padded to 16.
    assert_eq!(state.bytes(), 2 * 4 * page);
    let forks = state.fork(&[0, 0, 0]).expect("a row");
    assert_eq!(forks.bytes(), state.bytes());
    state.append(forks).expect("the same model");
    assert_eq!((state.bytes(), state.num_rows()), (2 * 4 * page, 4));
    // Each row writes into a page of its own; the first three stay shared.
    let state = model.step(&[1, 2, 3, 4], &[1; 4], Direction::Causal, state).1;
    assert_eq!(state.bytes(), 2 * (3 + 4) * page);
}

#[test]
fn windows_and_truncations_drop_pages() {
    let page = 2 * PAGE_SIZE * 2 * HIDDEN * 4;
    let window = model(PARTS[2].1);
    // One-token calls: the window's pages, and those of up to eight snapshots.
    let long = state_after(&window, 40 * PAGE_SIZE, 1);
    assert!(long.bytes() <= 2 * (2 + 2 * 8) * page, "{}", long.bytes() / page);
    let mut state = state_after(&model(PARTS[0].1), 200, 200);
    assert_eq!(state.truncate(&[100]), Ok(vec![100]));
    assert_eq!((state.bytes(), state.next_positions()), (2 * 2 * page, &[100][..]));
    assert_eq!(state.truncate(&[0]), Ok(vec![0]));
    assert_eq!(state.bytes(), 0);
}

#[test]
fn recurrent_rows_go_back_to_snapshots() {
    let model = model("'mamba2'");
    let mut state = state_after(&model, 10, 10);
    for id in document(2, SNAPSHOT_INTERVAL + 20) {
        state = model.step(&[id as i32], &[1], Direction::Causal, state).1;
    }
    let read = 10 + SNAPSHOT_INTERVAL + 20;
    assert!(state.snapshot_bytes() > 0);
    assert_eq!(state.truncate(&[read]), Ok(vec![read]));
    assert_eq!(state.truncate(&[read - 1]), Ok(vec![10 + SNAPSHOT_INTERVAL]));
    let error = state.truncate(&[9]).expect_err("no snapshot");
    assert!(matches!(&error, StateError::NoSnapshot { row: 0, requested: 9, .. }), "{error:?}");
    assert!(error.to_string().contains("truncate the row to 0 tokens"), "{error}");
    // Unchanged by the error.
    assert_eq!(state.next_positions(), [10 + SNAPSHOT_INTERVAL]);
    assert_eq!(state.truncate(&[20]), Ok(vec![10]));
    assert_eq!(state.truncate(&[0]), Ok(vec![0]));
}

#[test]
fn bad_operations_are_typed_errors() {
    let one = model(PARTS[0].1);
    let mut state = state_after(&one, 5, 5);
    assert_eq!(state.fork(&[]).err(), Some(StateError::NoRows));
    assert_eq!(state.fork(&[0, 1]).err(), Some(StateError::UnknownRow { row: 1, rows: 1 }));
    assert_eq!(state.select(&[2]), Err(StateError::UnknownRow { row: 2, rows: 1 }));
    assert_eq!(State::new(0).fork(&[0]).err(), Some(StateError::UnknownRow { row: 0, rows: 0 }));
    assert_eq!(state.truncate(&[5, 5]), Err(StateError::LengthCount { expected: 1, found: 2 }));
    assert_eq!(state.truncate(&[6]), Err(StateError::PastEnd { row: 0, requested: 6, length: 5 }));
    let path_of = |mut state: State, other: State| match state.append(other).expect_err("another model") {
        StateError::OtherModel { path, expected, found } => {
            assert_ne!(expected, found);
            path
        }
        error => panic!("{error}"),
    };
    let read = |part: &str| state_after(&model(part), 5, 5);
    let entries = "blocks.0.attention.entries";
    assert_eq!(path_of(read(PARTS[0].1), read(PARTS[1].1)), entries);
    assert_eq!(path_of(read(PARTS[0].1), read(PARTS[2].1)), entries);
    assert_eq!(path_of(read(PARTS[0].1), read("'mamba2'")), entries);
    assert!(path_of(read("'mamba2'"), read(PARTS[0].1)).starts_with("blocks.0."));
    let half = |dtype| {
        let tokens: Vec<i32> = vec![1, 2];
        one.step(&tokens, &[2], Direction::Causal, State::new(1).with_cache_dtype(dtype)).1
    };
    assert_eq!(path_of(half(CacheDtype::F32), half(CacheDtype::F16)), entries);
    // Rows before their first token are of every model.
    let mut state = State::new(2);
    state.append(read(PARTS[1].1)).expect("new rows");
    assert_eq!((state.next_positions(), state.num_rows()), (&[0, 0, 5][..], 3));
}
