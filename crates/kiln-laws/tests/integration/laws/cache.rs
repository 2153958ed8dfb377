//! Caches keep the keys that the pattern needs and no others; decoding from them equals a whole forward pass.

use kiln_infer::{block_on, equivalence};
use kiln_laws::{device, parameters::to_f64, strategies};
use kiln_models::{Model, ModelConfig};
use kiln_nn::State;
use kiln_spec::{Direction, pages::PAGE_SIZE, plan::CachePolicy};

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

/// Pages held after each of `length` tokens, one row, one token per step.
fn cached_pages(model: &Model, length: usize) -> Vec<usize> {
    let mut state = State::new(1);
    let step = |id: u32| {
        state = model.step(&[id as i32], &[1], Direction::Causal, std::mem::take(&mut state)).1;
        // Keys and values of two heads, whose width of 4 is padded to 16.
        state.bytes() / (PAGE_SIZE * 2 * 2 * 16 * 4)
    };
    document(length).into_iter().map(step).collect()
}

/// A pattern, what its cache keeps, and pages of 64 keys held after 3, 64 and 200 tokens. After 200 tokens, pages 0, 1 and 2 are
/// full and page 3 is begun. No snapshot is taken before 256 tokens.
const PATTERNS: [(&str, CachePolicy, [usize; 3]); 6] = [
    ("\"global\"", CachePolicy::All, [1, 1, 4]),
    ("{ window = { before = 4 } }", CachePolicy::Last(5), [1, 1, 1]),
    ("{ blocks = { size = 3, before = 1 } }", CachePolicy::Last(6), [1, 1, 1]),
    ("{ global_tokens = { first = 2 } }", CachePolicy::FirstAndLast { first: 2, last: 0 }, [1, 1, 2]),
    (
        "{ or = [{ global_tokens = { first = 2 } }, { window = { before = 2 } }] }",
        CachePolicy::FirstAndLast { first: 2, last: 3 },
        [1, 1, 2],
    ),
    ("{ and = [{ strided = { stride = 2 } }, { window = { before = 6 } }] }", CachePolicy::Last(7), [1, 1, 1]),
];

#[test]
fn a_cache_keeps_the_keys_that_later_tokens_see() {
    for (pattern, keep, pages) in PATTERNS {
        let model = model(pattern);
        let part = model.blocks()[0].parts().next().expect("attention").1;
        assert_eq!(part.pattern().map(CachePolicy::for_pattern), Some(keep), "{pattern}");
        let held = cached_pages(&model, 200);
        assert_eq!([3, 64, 200].map(|length| held[length - 1]), pages, "{pattern}");
    }
}

/// One row, rows of one length and rows of two lengths.
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
