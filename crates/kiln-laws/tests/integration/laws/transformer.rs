//! An encoder-decoder and the heads that pool against PyTorch's values.

use burn::{
    module::{Module, Param},
    tensor::{DType, Tensor, TensorData},
};
use kiln_kernels::{
    exact::Arithmetic,
    testing::{assert_close, max_abs_diff},
};
use kiln_laws::{
    device,
    fixture::Fixture,
    parameters::{to_f64, with_values},
};
use kiln_models::{Model, ModelConfig, StateDict, named_parameters};
use kiln_nn::{
    BuildContext, Context, Initializer,
    context::TokenMarks,
    head::{ClassificationHeadConfig, EmbeddingHeadConfig, Head, HeadConfig, Pooling},
    packed_weight::WeightView,
    position::PositionConfig,
};
use kiln_spec::{Direction, DocumentSpan, Layout};

/// PyTorch in f64, stored in f64: what is left is the order of additions.
const EXACT: f64 = 1e-11;

const MODEL: &str = r#"
    stack = "encoder-decoder"
    vocab = 11
    hidden = 8
    position = "none"
    norm = { layer = { eps = 1e-5 } }
    [[blocks]]
    repeat = 2
    sublayers = [
        { junction = { pre = { norm = { layer = { eps = 1e-5 } } } }, parts = [
            { attention = { projection = { heads = { heads = 2, bias = true } } } },
        ] },
        { junction = { pre = { norm = { layer = { eps = 1e-5 } } } }, parts = [
            { attention = { source = "cross", projection = { heads = { heads = 2, bias = true } } } },
        ] },
        { junction = { pre = { norm = { layer = { eps = 1e-5 } } } }, parts = [{ mlp = { intermediate = 12 } }] },
    ]
"#;

fn model(file: &Fixture) -> Model {
    let mut config: ModelConfig = kiln_spec::config::parse(MODEL, None).expect("well formed");
    config.resolve();
    config.check("model").expect("legal");
    let model = to_f64(Model::init(&config, 0, &device()));
    let value = |name: kiln_models::NamedParameter| {
        let (shape, values) = file.values(&format!("weights.{}", name.path));
        (name.path, TensorData::new(values, shape))
    };
    let values: StateDict = named_parameters(&model).into_iter().map(value).collect();
    kiln_models::load_state_dict(model, values).expect("the same shapes")
}

/// The encoder's layout: its rows have these lengths.
fn encoder_layout(lengths: [usize; 2]) -> Layout {
    let row = |length| vec![DocumentSpan { length, start: 0, direction: Direction::Bidirectional }];
    Layout::packed(&lengths.map(row), 5)
}

/// Hidden states of the decoder, and the memory.
fn run(file: &Fixture, lengths: [usize; 2]) -> (Tensor<3>, Tensor<3>) {
    let model = model(file);
    let mut cx = Context::new(&Layout::from_offsets(&[0; 2], &[4; 2], 4, Direction::Causal), &device());
    model.encode(file.integers("given", &device()), &encoder_layout(lengths), &mut cx);
    let hidden = model.forward(file.integers("written", &device()), &mut cx);
    (hidden, cx.memory.expect("read").hidden)
}

#[test]
fn an_encoder_decoder_equals_that_of_pytorch() {
    let file = Fixture::open("stacks");
    assert_eq!(file.values("lengths").1, [5.0, 3.0]);
    let (hidden, memory) = run(&file, [5, 3]);
    assert_close(&hidden, &file.tensor("hidden", &device()), EXACT);
    // What stands in padding is of no account.
    let live = |memory: Tensor<3>| memory.slice([1..2, 0..3, 0..8]);
    assert_close(&live(memory), &live(file.tensor("memory", &device())), EXACT);
    let (longer, _) = run(&file, [5, 4]);
    assert!(max_abs_diff(&longer, &file.tensor::<3>("hidden", &device())) > 1e-3, "padding would not be noticed");
}

/// What a head with the fixture's weights gives of the fixture's memory.
fn outputs(file: &Fixture, config: &HeadConfig, pool: Pooling, weights: &[&str]) -> Tensor<2> {
    let position = PositionConfig::default();
    let around = BuildContext {
        hidden: 8,
        vocab: 1,
        heads: 1,
        dropout: 0.0,
        position: &position,
        direction: Direction::Bidirectional,
    };
    let value = |name: &&str| {
        let (shape, values) = file.values(&format!("head.{name}"));
        (name.to_string(), TensorData::new(values, shape))
    };
    let head: Head =
        with_values(config.init(&around, &mut Initializer::new(0, &device())), &weights.iter().map(value).collect());
    assert_eq!(
        head.num_params(),
        weights.iter().map(|name| file.values(&format!("head.{name}")).1.len()).sum::<usize>()
    );
    assert_eq!(head.pooling(), Some(pool));
    let marks = TokenMarks::new(&encoder_layout([5, 3]), &device());
    let pooled = pool.pool(file.tensor("memory", &device()), &marks, Arithmetic::Fast);
    let table = Param::from_tensor(Tensor::zeros([1, 8], (&device(), DType::F64)));
    head.forward(pooled, WeightView::new(&table, None), Arithmetic::Fast)
}

#[test]
fn classification_equals_that_of_bert() {
    let file = Fixture::open("stacks");
    let config = HeadConfig::Class(ClassificationHeadConfig {
        num_classes: 3,
        pooling: Pooling::First,
        pooler: true,
        transform: None,
    });
    let weights = ["pooler.weight", "pooler.bias", "classes.weight", "classes.bias"];
    let logits = outputs(&file, &config, Pooling::First, &weights);
    assert_close(&logits, &file.tensor("logits", &device()), EXACT);
}

#[test]
fn embeddings_are_the_mean_of_valid_tokens() {
    let file = Fixture::open("stacks");
    let of = |pool| {
        let config =
            HeadConfig::Embedding(EmbeddingHeadConfig { pooling: pool, projection_dim: Some(5), normalize: true });
        outputs(&file, &config, pool, &["dense.weight"])
    };
    // The length is that of the vector and of 1e-12 beside it.
    assert_close(&of(Pooling::Mean), &file.tensor("vectors", &device()), 1e-11);
    assert!(max_abs_diff(&of(Pooling::Last), &file.tensor::<2>("vectors", &device())) > 1e-3);
}
