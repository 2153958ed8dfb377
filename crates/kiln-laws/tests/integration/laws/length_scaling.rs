//! Rotary scalings that follow the length of the context: dynamic NTK and LongRoPE.

use burn::tensor::{Int, Tensor, TensorData};
use kiln_infer::{GenerateRequest, Generation, Sampling, block_on, equivalence, generate};
use kiln_laws::{device, parameters::to_f64};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{
    Context, State,
    position::{
        PositionConfig, RotaryScaling,
        rotary_scaling::{DynamicScaling, LongRopeScaling},
    },
};
use kiln_spec::{Direction, DocumentSpan, Layout};

const ORIGINAL: usize = 8;

fn dynamic() -> RotaryScaling {
    RotaryScaling::Dynamic(DynamicScaling { factor: 2.0, original_max_position_embeddings: ORIGINAL })
}

fn longrope() -> RotaryScaling {
    RotaryScaling::LongRope(LongRopeScaling {
        factor: 4.0,
        original_max_position_embeddings: ORIGINAL,
        short_factor: vec![1.0, 1.1],
        long_factor: vec![1.5, 3.0],
        attention_factor: None,
    })
}

fn model(scaling: RotaryScaling) -> Model {
    let text = "vocab = 11\nhidden = 8\nblocks = [{ repeat = 2, sublayers = [{ parts = [{ attention = { projection = { heads = { \
                heads = 2 } } } }] }, { parts = ['gated_mlp'] }] }]";
    let mut config: ModelConfig = kiln_spec::config::parse(text, None).expect("legal");
    if let PositionConfig::Rotary(rotary) = &mut config.position {
        rotary.scaling = scaling;
    }
    config.resolve();
    config.check("model").expect("legal");
    to_f64(Model::init(&config, 3, &device()))
}

/// θ' = θ (s l / L − (s − 1))^(D / (D − 2)).
#[test]
fn a_longer_context_has_a_larger_base() {
    let (theta, pairs) = (10_000.0f64, 4);
    for length in [0, 5, ORIGINAL, ORIGINAL + 1, 20, 100] {
        let ratio = 2.0 * length.max(ORIGINAL) as f64 / ORIGINAL as f64 - 1.0;
        let base = theta * ratio.powf(8.0 / 6.0);
        let found = dynamic().frequencies(theta, pairs, length);
        for (i, found) in found.iter().enumerate() {
            assert!((found / base.powf(-(i as f64) / 4.0) - 1.0).abs() < 1e-12, "{length} {i}");
        }
    }
    assert!(!dynamic().differs_between(3, ORIGINAL) && dynamic().differs_between(ORIGINAL, ORIGINAL + 1));
    assert_eq!(dynamic().frequencies(theta, 1, 100), [1.0]);
}

#[test]
fn longrope_switches_its_list_beyond_the_original_context() {
    let base = RotaryScaling::default().frequencies(10_000.0, 2, 0);
    let found = [ORIGINAL, ORIGINAL + 1].map(|length| longrope().frequencies(10_000.0, 2, length));
    assert_eq!(found, [vec![base[0], base[1] / 1.1], vec![base[0] / 1.5, base[1] / 3.0]]);
    // √(1 + ln 4 / ln 8)
    assert!((longrope().attention_factor() - (1.0f64 + 2.0 / 3.0).sqrt()).abs() < 1e-12);
    assert!(longrope().differs_between(ORIGINAL, ORIGINAL + 1) && !longrope().differs_between(100, 10));
    assert!(longrope().follows_length() && !RotaryScaling::default().follows_length());
}

fn document(length: usize) -> Vec<u32> {
    (0..length).map(|i| (5 * i % 11) as u32).collect()
}

/// Hidden states of a document alone.
fn whole(model: &Model, document: &[u32]) -> Tensor<3> {
    let span = DocumentSpan { length: document.len(), start: 0, direction: Direction::Causal };
    let layout = Layout::packed(&[vec![span]], document.len());
    let ids: Vec<i32> = document.iter().map(|id| *id as i32).collect();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, document.len()]), &device());
    model.forward(tokens, &mut Context::new(&layout, &device()))
}

fn apart(a: &Tensor<3>, b: &Tensor<3>) -> f64 {
    kiln_kernels::testing::max_abs_diff(a, b)
}

/// At the declared length, chunks give the results of the whole; documents packed in a row, or padded, those of each alone.
#[test]
fn rows_at_their_declared_length_are_as_whole_documents() {
    for scaling in [dynamic(), longrope()] {
        let model = model(scaling);
        let documents = [document(ORIGINAL + 5), document(4), document(ORIGINAL)];
        for chunks in [&[1][..], &[3], &[2, 5, 1]] {
            let chunked = block_on(equivalence::chunked_difference(&model, &documents, chunks)).expect("numbers");
            assert!(chunked < 1e-12, "{chunked}");
        }
        let packed = block_on(equivalence::packed_difference(&model, &documents, Direction::Causal)).expect("numbers");
        let padded =
            block_on(equivalence::padded_difference(&model, &documents, Direction::Causal, 3)).expect("numbers");
        assert!(packed < 1e-12 && padded < 1e-12, "{packed} {padded}");
    }
}

/// A row that begins undeclared keeps the frequencies of its first call, and so differs from the whole document.
#[test]
fn an_undeclared_row_keeps_the_frequencies_of_its_beginning() {
    for scaling in [dynamic(), longrope()] {
        let model = model(scaling);
        let document = document(ORIGINAL + 5);
        let ids: Vec<i32> = document.iter().map(|id| *id as i32).collect();
        let run = |state: State| {
            let (_, state) = model.step(&ids[..6], &[6], Direction::Causal, state);
            model.step(&ids[6..], &[ids.len() - 6], Direction::Causal, state).0
        };
        let expected = whole(&model, &document).narrow(1, 6, ids.len() - 6);
        assert!(apart(&run(State::new(1).with_declared_lengths(&[ids.len()])), &expected) < 1e-12);
        assert!(apart(&run(State::new(1)), &expected) > 1e-3);
    }
}

/// Rows that are forked, joined and truncated keep the lengths that they declared; a row that is emptied declares anew.
#[test]
fn declared_lengths_move_with_their_rows() {
    for scaling in [dynamic(), longrope()] {
        let model = model(scaling);
        let documents = [document(ORIGINAL + 5), document(6)];
        let lengths = documents.each_ref().map(Vec::len);
        let ids = |row: usize, from: usize| documents[row][from..].iter().map(|id| *id as i32).collect::<Vec<i32>>();
        let begin = |row: usize| {
            let state = State::new(1).with_declared_lengths(&[lengths[row]]);
            model.step(&ids(row, 0)[..4], &[4], Direction::Causal, state).1
        };
        let rest = |row: usize, state: State| {
            let ids = ids(row, 4);
            model.step(&ids, &[ids.len()], Direction::Causal, state).0
        };
        let expected = [0, 1].map(|row| whole(&model, &documents[row]).narrow(1, 4, lengths[row] - 4));
        let mut joined = begin(0);
        joined.append(begin(1)).expect("one model");
        assert_eq!(joined.context_lengths(), lengths);
        for row in [0, 1] {
            assert!(apart(&rest(row, joined.fork(&[row]).expect("a row")), &expected[row]) < 1e-12);
            let mut swapped = joined.fork(&[1, 0]).expect("rows");
            swapped.select(&[1 - row]).expect("a row");
            assert!(apart(&rest(row, swapped), &expected[row]) < 1e-12);
        }
        // The long row begins anew as a short one.
        assert_eq!(joined.truncate(&[0, 4]).expect("both rows"), [0, 4]);
        joined.declare_lengths_of_new_rows(&[3, 100]);
        assert_eq!(joined.context_lengths(), [3, lengths[1]]);
    }
}

fn request(prompt: Vec<u32>, max_new_tokens: usize) -> GenerateRequest {
    GenerateRequest {
        prompts: vec![prompt],
        sampling: Sampling::greedy(),
        max_new_tokens,
        prefill_chunk_size: Some(3),
        ..GenerateRequest::default()
    }
}

/// The greedy continuation by whole forward passes over texts of the declared length: later tokens change no earlier ones.
fn continuation(model: &Model, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    for _ in 0..count {
        let mut padded = ids.clone();
        padded.resize(prompt.len() + count, 0);
        let hidden = whole(model, &padded).narrow(1, ids.len() - 1, 1).squeeze_dim::<2>(1);
        let logits: Vec<f64> = model.logits(hidden).into_data().iter::<f64>().collect();
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("logits").0;
        ids.push(best as u32);
    }
    ids.split_off(prompt.len())
}

#[test]
fn generation_declares_the_prompt_and_the_new_tokens() {
    for scaling in [dynamic(), longrope()] {
        let model = model(scaling);
        for (prompt, count) in [(document(3), 3), (document(3), 9), (document(ORIGINAL + 2), 4)] {
            let expected = continuation(&model, &prompt, count);
            let found = block_on(generate(&model, request(prompt, count))).expect("legal").remove(0).ids;
            assert_eq!(found, expected);
        }
    }
}

/// A text without a limit crosses the original context: it is read again, and goes on as a text of a longer declared length.
#[test]
fn a_text_that_crosses_the_original_context_is_read_again() {
    let model = model(longrope());
    let mut generation = Generation::new(&model, request(document(4), usize::MAX)).expect("legal");
    let mut ids = document(4);
    while ids.len() < ORIGINAL + 4 {
        let before = generation.reread_tokens();
        let token = block_on(generation.next()).expect("numbers").expect("a token").remove(0);
        // The step after the token at the original length is the first that reads more than the original context.
        assert_eq!(generation.reread_tokens().is_some(), ids.len() > ORIGINAL, "{}", ids.len());
        if ids.len() > ORIGINAL {
            let hidden = whole(&model, &ids).narrow(1, ids.len() - 1, 1).squeeze_dim::<2>(1);
            let logits: Vec<f64> = model.logits(hidden).into_data().iter::<f64>().collect();
            let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("logits").0;
            assert_eq!(token.id as usize, best);
            assert!(before.is_none() || before == generation.reread_tokens(), "read again more than once");
        }
        ids.push(token.id);
    }
}

/// A chat keeps its cache as long as its positions stay the same, and is read again once when they change.
#[test]
fn a_chat_that_outgrows_its_context_is_read_again_once() {
    for (scaling, expected) in [(longrope(), [None, Some(6), None, None]), (dynamic(), [None, Some(6), None, Some(14)])]
    {
        let model = model(scaling);
        let (mut cache, mut text) = (None, document(5));
        for (turn, expected) in expected.into_iter().enumerate() {
            let mut generation = Generation::with_cache(&model, request(text.clone(), 2), cache).expect("legal");
            assert_eq!(generation.reread_tokens(), expected, "turn {turn}");
            while let Some(tokens) = block_on(generation.next()).expect("numbers") {
                text.extend(tokens.into_iter().map(|token| token.id));
            }
            cache = generation.into_prefix_cache();
            text.extend([1, 2]);
        }
    }
}
