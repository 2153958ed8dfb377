//! Caches keep the keys that the pattern needs and no others; decoding from them equals a whole forward pass.

use kiln_infer::{block_on, equivalence};
use kiln_laws::{device, parameters::to_f64, strategies};
use kiln_models::{Model, ModelConfig};
use kiln_nn::State;
use kiln_spec::{Direction, plan::CachePolicy};

const WIDTH: usize = 8;

/// A model of one attention layer.
fn model(pattern: &str) -> Model {
    let text = format!(
        "vocab = {}\nhidden = {WIDTH}\nblocks = [{{ sublayers = [{{ parts = [{{ attention = {{ pattern = {pattern}, \
         projection = {{ heads = {{ heads = 2 }} }} }} }}] }}] }}]",
        strategies::VOCAB
    );
    let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("legal");
    config.resolve();
    Model::init(&config, 1, &device())
}

fn document(length: usize) -> Vec<u32> {
    (0..length).map(|i| (i * 7 % strategies::VOCAB) as u32).collect()
}

/// Keys held after each of `length` tokens, one row, one token per step.
fn cached_bytes(model: &Model, length: usize) -> Vec<usize> {
    let mut state = State::new(1);
    let step = |id: u32| {
        state = model.step(&[id as i32], &[1], Direction::Causal, std::mem::take(&mut state)).1;
        state.bytes() / (2 * WIDTH * 4)
    };
    document(length).into_iter().map(step).collect()
}

/// A pattern, what its cache keeps, and keys held after 3, 8 and 20 tokens.
const PATTERNS: [(&str, CachePolicy, [usize; 3]); 6] = [
    ("\"global\"", CachePolicy::All, [3, 8, 20]),
    ("{ window = { before = 4 } }", CachePolicy::Last(5), [3, 5, 5]),
    ("{ blocks = { size = 3, before = 1 } }", CachePolicy::Last(6), [3, 6, 6]),
    ("{ global_tokens = { first = 2 } }", CachePolicy::FirstAndLast { first: 2, last: 0 }, [2, 2, 2]),
    (
        "{ or = [{ global_tokens = { first = 2 } }, { window = { before = 2 } }] }",
        CachePolicy::FirstAndLast { first: 2, last: 3 },
        [3, 5, 5],
    ),
    ("{ and = [{ strided = { stride = 2 } }, { window = { before = 6 } }] }", CachePolicy::Last(7), [3, 7, 7]),
];

#[test]
fn a_cache_keeps_the_keys_that_later_tokens_see() {
    for (pattern, keep, keys) in PATTERNS {
        let model = model(pattern);
        let part = model.blocks()[0].parts().next().expect("attention").1;
        assert_eq!(part.pattern().map(CachePolicy::for_pattern), Some(keep), "{pattern}");
        let held = cached_bytes(&model, 20);
        assert_eq!([3, 8, 20].map(|length| held[length - 1]), keys, "{pattern}");
    }
}

/// One row and rows of one length: nothing stands in the way of dropping. Rows of two lengths: all is kept.
#[test]
fn evicted_keys_change_no_output() {
    for (pattern, ..) in PATTERNS {
        let model = to_f64(model(pattern));
        let documents = [document(20), document(20).into_iter().rev().collect(), document(13)];
        for documents in [&documents[..1], &documents[..2], &documents] {
            for chunks in [&[1][..], &[3], &[4, 1]] {
                let apart = block_on(equivalence::chunked_difference(&model, documents, chunks)).expect("numbers");
                assert!(apart <= 1e-10, "{pattern} {chunks:?}: {apart}");
            }
        }
    }
}
