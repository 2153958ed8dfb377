//! Encoder-decoders: what the decoder sees of the memory, and what is cached of it.

use burn::tensor::{Int, Tensor, TensorData};
use kiln_laws::{device, max_abs_diff as apart, parameters::to_f64, strategies};
use kiln_models::{Model, ModelConfig, map_params, named_parameters};
use kiln_nn::{
    BuildContext, Context, Initializer, Memory, Variant,
    context::TokenMarks,
    part::{
        Layer,
        attention::{Attention, AttentionConfig, AttentionSource},
    },
    position::PositionConfig,
};
use kiln_spec::{Direction, DocumentSpan, Layout, Random, config::NoOptions};
use proptest::{collection::vec, prelude::*};

/// A few hundred additions in f64.
const EXACT: f64 = 1e-10;

fn tokens(ids: &[u32]) -> Tensor<2, Int> {
    let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    let shape = [1, ids.len()];
    Tensor::from_data(TensorData::new(ids, shape), &device())
}

fn layout(length: usize, direction: Direction) -> Layout {
    Layout::packed(&[vec![DocumentSpan { length, start: 0, direction }]], length)
}

/// Hidden states of `written` after `given` was read, a row a token.
fn hidden(model: &Model, given: &[u32], written: &[u32]) -> Vec<Vec<f64>> {
    let mut cx = Context::new(&layout(written.len(), Direction::Causal), &device());
    model.encode(tokens(given), &layout(given.len(), Direction::Bidirectional), &mut cx);
    let hidden = model.forward(tokens(written), &mut cx);
    let width = hidden.dims()[2];
    hidden.into_data().iter::<f64>().collect::<Vec<_>>().chunks(width).map(<[f64]>::to_vec).collect()
}

/// A small T5-like model, in f64 and with larger weights, so that a wrong look shows.
fn small() -> Model {
    let text = r#"
        stack = "encoder-decoder"
        vocab = 11
        hidden = 8
        [[blocks]]
        repeat = 2
        sublayers = [
            { parts = ["attention"] },
            { parts = [{ attention = { source = "cross" } }] },
            { parts = ["gated_mlp"] },
        ]
    "#;
    let mut config: ModelConfig = kiln_spec::config::parse(text, None).expect("well formed");
    config.resolve();
    config.check("model").expect("legal");
    let model = to_f64(Model::init(&config, 3, &device()));
    map_params(model, |param| param.map(|weight| (weight.flatten() * 3.0).into()))
}

#[test]
fn parameter_names_tell_the_stack() {
    let names: Vec<String> = named_parameters(&small()).into_iter().map(|name| name.path).collect();
    for name in [
        "embedding",
        "blocks.1.attention.q.weight",
        "blocks.1.cross_attention.k.weight",
        "blocks.0.cross_attention_norm.weight",
        "blocks.1.feed_forward.down.weight",
        "norm.weight",
        "encoder.blocks.1.attention.q.weight",
        "encoder.blocks.0.feed_forward.gate.weight",
        "encoder.norm.weight",
    ] {
        assert!(names.iter().any(|known| known == name), "{name} of {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("encoder.embedding") || name.contains("encoder.blocks.0.cross")));
}

#[test]
fn the_decoder_sees_the_whole_memory_and_no_later_token() {
    let model = small();
    let (given, written) = ([1, 2, 3, 4], [5, 6, 7]);
    let before = hidden(&model, &given, &written);
    for place in 0..given.len() {
        let mut other = given;
        other[place] = 9;
        let after = hidden(&model, &other, &written);
        assert!(before.iter().zip(&after).all(|(a, b)| apart(a, b) > 1e-4), "token {place} is not seen");
    }
    let after = hidden(&model, &given, &[5, 6, 9]);
    assert_eq!(before[..2], after[..2]);
    assert!(apart(&before[2], &after[2]) > 1e-4);
}

#[test]
fn only_encoder_positions_give_the_memory_an_order() {
    let model = small();
    let before = hidden(&model, &[1, 2, 3], &[5, 6]);
    let after = hidden(&model, &[3, 2, 1], &[5, 6]);
    assert!(apart(&before[0], &after[0]) > 1e-4, "the encoder's positions say nothing");
    // Cross attention has none: keys that are moved with their values are the same keys.
    let marks = TokenMarks::new(&layout(3, Direction::Bidirectional), &device());
    let memory =
        Tensor::<3>::from_data(TensorData::new(noise(3 * 8, 1), [1, 3, 8]), (&device(), burn::tensor::DType::F64));
    let with = |hidden: Tensor<3>| {
        let mut cx = Context::new(&layout(2, Direction::Causal), &device());
        cx.memory = Some(Memory { hidden, token_marks: marks.clone() });
        model.forward(tokens(&[5, 6]), &mut cx).into_data().iter::<f64>().collect::<Vec<_>>()
    };
    assert!(apart(&with(memory.clone()), &with(memory.flip([1]))) <= EXACT);
}

fn noise(count: usize, index: u64) -> Vec<f64> {
    let mut random = Random::new(4, "noise", 0, index);
    (0..count).map(|_| random.normal()).collect()
}

/// Cross attention over a memory that is the tokens themselves is self-attention without positions.
#[test]
fn cross_attention_to_the_stream_itself_equals_self_attention() {
    let none = PositionConfig::None(NoOptions {});
    let around = BuildContext {
        hidden: 8,
        vocab: 11,
        heads: 1,
        dropout: 0.0,
        position: &none,
        direction: Direction::Bidirectional,
    };
    let made = |source: AttentionSource| {
        let config = AttentionConfig { source, ..AttentionConfig::default() };
        to_f64(Attention::init(&config, &around, &mut Initializer::new(6, &device())))
    };
    let pieces = [3, 4].map(|length| DocumentSpan { length, start: 0, direction: Direction::Bidirectional });
    let layout = Layout::packed(&[pieces.to_vec(), pieces[1..].to_vec()], 8);
    let x =
        Tensor::<3>::from_data(TensorData::new(noise(2 * 8 * 8, 2), [2, 8, 8]), (&device(), burn::tensor::DType::F64));
    let own = made(AttentionSource::default()).forward(x.clone(), &mut Context::new(&layout, &device()));
    let mut cx = Context::new(&layout, &device());
    cx.memory = Some(Memory { hidden: x.clone(), token_marks: TokenMarks::new(&layout, &device()) });
    let cross = made(AttentionSource::Cross(NoOptions {})).forward(x, &mut cx);
    let [own, cross] = [own, cross].map(|out| out.into_data().iter::<f64>().collect::<Vec<_>>());
    assert!(apart(&own, &cross) <= EXACT, "{}", apart(&own, &cross));
    assert!(own.iter().any(|x| x.abs() > 0.1));
}

#[test]
fn keys_of_the_memory_are_computed_once() {
    let model = small();
    let state = model.init_state(&[1, 2, 3], &[3]);
    let (_, state) = model.step(&[5], &[1], Direction::Causal, state);
    assert!(state.slot_paths().contains(&"blocks.1.cross_attention.memory"), "{:?}", state.slot_paths());
    let want = hidden(&model, &[1, 2, 3], &[5, 6]).remove(1);
    let mut cx = Context::resume(state, &[1], 1, Direction::Causal, &device());
    if let Some(memory) = cx.memory.as_mut() {
        memory.hidden = memory.hidden.clone() * f64::NAN;
    }
    let out = model.forward(tokens(&[6]), &mut cx).into_data().iter::<f64>().collect::<Vec<_>>();
    assert!(apart(&want, &out) <= EXACT, "{want:?} {out:?}");
}

#[test]
fn a_decoder_without_memory_gives_finite_values() {
    let model = small();
    let mut cx = Context::new(&layout(2, Direction::Causal), &device());
    assert!(model.forward(tokens(&[5, 6]), &mut cx).into_data().iter::<f64>().all(f64::is_finite));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// A document without tokens in the encoder sees nothing there, whatever its mates have.
    #[test]
    fn other_documents_of_the_memory_change_nothing(config in strategies::encoder_decoder(), mates in vec(0u32..11, 1..6), own in 0u32..3) {
        let model = to_f64(Model::init(&config, 3, &device()));
        let written: Vec<u32> = vec![4, 5, 6];
        let given: Vec<u32> = (0..own).collect();
        let packed = |mates: &[u32], given: &[u32]| {
            let row = |lengths: [usize; 2], direction| lengths.map(|length| DocumentSpan { length, start: 0, direction }).to_vec();
            let rows = Layout::packed(&[row([1, 3], Direction::Causal)], 4);
            let width = (mates.len() + given.len()).max(1);
            let memory = Layout::packed(&[row([mates.len(), given.len()], Direction::Bidirectional)], width);
            let ids = if mates.len() + given.len() == 0 { vec![0] } else { [mates, given].concat() };
            let mut cx = Context::new(&rows, &device());
            model.encode(tokens(&ids), &memory, &mut cx);
            let hidden = model.forward(tokens(&[&[7], written.as_slice()].concat()), &mut cx);
            hidden.narrow(1, 1, 3).into_data().iter::<f64>().collect::<Vec<_>>()
        };
        let (alone, together) = (packed(&[], &given), packed(&mates, &given));
        prop_assert!(alone.iter().all(|x| x.is_finite()));
        prop_assert!(apart(&alone, &together) <= EXACT * (1.0 + alone.iter().fold(0.0, |m: f64, x| m.max(x.abs()))));
    }
}
