//! Caches keep the keys that the pattern needs and no others; decoding from them equals a whole forward pass.

use burn::tensor::Tensor;
use kiln_infer::{block_on, equivalence};
use kiln_kernels::planner::Kernel;
use kiln_laws::{device, parameters::to_f64, strategies};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{State, context::Context};
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

/// Blocks whose attention layers have more than one form of keys in decoding: other scores than a softmax, keys of another
/// layer, and keys of which the block leaves some out.
const PAGED_BLOCKS: [&str; 4] = [
    "{ sublayers = [{ parts = [{ attention = { score = 'sigmoid' } }] }] }",
    "{ sublayers = [{ parts = ['attention'] }] }, { repeat = 2, sublayers = [{ parts = [{ attention = { source = 'shared' } }] }] }",
    "{ sublayers = [{ parts = ['attention'] }] }, { sublayers = [{ parts = [{ attention = { source = 'shared', score = \
     'sigmoid' } }] }] }",
    "{ depth = { mixture_of_depths = { capacity = 0.5 } }, sublayers = [{ parts = ['attention'] }] }",
];

/// Decodes a token at a time on the CPU: only the paged kernel runs, and the outputs are those of a whole forward pass.
#[test]
fn decoding_reads_pages() {
    for blocks in PAGED_BLOCKS {
        let text = format!("vocab = {}\nhidden = 32\nblocks = [{blocks}]", strategies::VOCAB);
        let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("legal");
        config.resolve();
        let model = Model::init(&config, 3, &device());
        let mut state = State::new(1);
        for (i, id) in document(70).into_iter().enumerate() {
            let mut cx = Context::resume(std::mem::take(&mut state), &[1], 1, Direction::Causal, &device());
            model.forward(Tensor::from_data([[id as i32]], &device()), &mut cx);
            assert_eq!(cx.used_kernels(), [Kernel::Paged], "{blocks}, token {i}");
            state = cx.commit(&[1]).expect("a state");
        }
        let documents = [document(150), document(70)];
        let apart = block_on(equivalence::chunked_difference(&model, &documents, &[1])).expect("numbers");
        assert!(apart <= 1e-4, "{blocks}: {apart}");
    }
}
