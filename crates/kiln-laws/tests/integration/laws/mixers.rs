//! Mamba-2 and gated DeltaNet against transformers, and what every recurrent mixer must do with documents and padding.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_kernels::testing::{assert_close, max_abs_diff, to_f64_vec};
use kiln_laws::{
    device,
    fixture::Fixture,
    parameters::{gradients, perturbed, to_f64, values, with_values},
};
use kiln_models::ModelConfig;
use kiln_nn::{
    BuildContext, Context, Initializer,
    context::{State, TokenMarks, TokenStream},
    part::{Part, PartConfig},
};
use kiln_spec::{Direction, Layout, Random, TokenMark};
use proptest::{collection::vec, prelude::*};

const HIDDEN: usize = 12;

/// transformers computes parts of its layers in f32.
const TOLERANCE: f64 = 2e-5;
const EXACT: f64 = 1e-10;

/// The fixture's layers.
const FIXTURES: [(&str, &str); 3] = [
    ("mamba2", r#"{"mamba2":{"heads":4,"head_dim":6,"state_size":5}}"#),
    (
        "mamba2_options",
        r#"{"mamba2":{"heads":4,"head_dim":6,"state_size":5,"groups":2,"bias":true,"time_step_limit":[0.2,0.9]}}"#,
    ),
    ("gated_delta_net", r#"{"gated_delta_net":{"heads":4,"key_heads":2,"head_dim":5,"value_dim":3}}"#),
];

/// Every recurrent mixer, with odd sizes.
const MIXERS: [&str; 7] = [
    r#"{"gla":{"heads":2,"head_dim":3,"value_dim":5,"rank":2,"temperature":4.0}}"#,
    r#"{"mamba2":{"heads":2,"head_dim":3,"state_size":5}}"#,
    r#"{"mamba2":{"heads":4,"head_dim":2,"state_size":3,"groups":2,"conv_width":1,"conv_bias":false,"norm_before_gate":true}}"#,
    r#"{"gated_delta_net":{"heads":2,"head_dim":5,"value_dim":3}}"#,
    r#"{"gated_delta_net":{"heads":4,"key_heads":2,"head_dim":2,"value_dim":3,"conv_width":2,"negative_eigenvalues":true}}"#,
    r#"{"gated_convolution":{}}"#,
    r#"{"gated_convolution":{"conv_width":5,"bias":true}}"#,
];

fn part(text: &str, with_gradients: bool) -> Part {
    let mut config: PartConfig = serde_json::from_str(text).expect("legal");
    let model = ModelConfig { hidden: HIDDEN, ..ModelConfig::default() };
    let build = BuildContext { dropout: 0.0, ..model.build_context() };
    config.resolve(&build);
    config.check(&build, "part").expect("legal");
    let device = if with_gradients { device().autodiff() } else { device() };
    config.init(&build, &mut Initializer::new(3, &device))
}

/// Largest difference, relative to the largest expected value.
fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    found.iter().zip(expected).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs())) / most
}

/// Largest relative difference of outputs and gradients to the fixture's, in `dtype`.
fn difference_to_fixture(name: &str, text: &str, dtype: DType) -> f64 {
    let file = Fixture::open("mixers");
    let part = part(text, true);
    let weights = values(&part).into_keys().map(|path| {
        let (shape, values) = file.values(&format!("{name}.weights.{path}"));
        let data = TensorData::new(values, shape);
        (path, if dtype == DType::F32 { data.convert::<f32>() } else { data })
    });
    let part = with_values(if dtype == DType::F64 { to_f64(part) } else { part }, &weights.collect());
    let tensor = |tensor: &str| file.tensor::<3>(&format!("{name}.{tensor}"), &device().autodiff()).cast(dtype);
    let x = tensor("x").inner().autodiff().require_grad();
    let layout = Layout::from_offsets(&[0; 2], &[x.dims()[1]; 2], x.dims()[1], Direction::Causal);
    let out = part.forward(x.clone(), &mut Context::new(&layout, &device().autodiff()));
    let all = (out.clone() * tensor("cotangent")).sum().backward();
    let expected = |tensor: &str| file.values(&format!("{name}.{tensor}")).1;
    let mut far = relative(&to_f64_vec(&out.inner()), &expected("output"));
    far = far.max(relative(&to_f64_vec(&x.grad(&all).expect("a gradient")), &expected("dx")));
    let found = gradients(&part, &all);
    assert_eq!(found.len(), values(&part).len(), "every parameter has a gradient");
    found.iter().fold(far, |far, (path, found)| far.max(relative(found, &expected(&format!("gradients.{path}")))))
}

#[test]
fn mixers_equal_those_of_transformers() {
    for (name, text) in FIXTURES {
        for dtype in [DType::F64, DType::F32] {
            let apart = difference_to_fixture(name, text, dtype);
            assert!(apart <= TOLERANCE, "{name} {dtype:?}: {apart:e}");
        }
    }
}

#[test]
fn another_option_is_noticed() {
    for (name, text) in [
        ("mamba2", r#"{"mamba2":{"heads":4,"head_dim":6,"state_size":5,"norm_before_gate":true}}"#),
        ("mamba2", r#"{"mamba2":{"heads":4,"head_dim":6,"state_size":5,"time_step_limit":[0.2,0.9]}}"#),
        (
            "gated_delta_net",
            r#"{"gated_delta_net":{"heads":4,"key_heads":2,"head_dim":5,"value_dim":3,"negative_eigenvalues":true}}"#,
        ),
    ] {
        assert!(difference_to_fixture(name, text, DType::F64) > 1e-3, "{text}");
    }
}

/// Rows of documents that follow each other, with padding anywhere.
pub fn layout() -> impl Strategy<Value = Layout> {
    (1usize..3, 2usize..40)
        .prop_flat_map(|(rows, width)| (Just(width), vec((any::<bool>(), 0usize..12), rows * width)))
        .prop_map(|(width, tokens)| {
            let mut marks = Vec::new();
            for row in tokens.chunks(width) {
                let mut document = 0;
                for (live, change) in row {
                    document += usize::from(*change == 0);
                    let mark = TokenMark::new(0, document, Direction::Causal);
                    marks.push(if *live || *change > 6 { mark } else { TokenMark::default() });
                }
            }
            Layout::from_marks(marks, width).expect("whole rows")
        })
}

/// Input of `width` values for each token.
pub fn input(layout: &Layout, width: usize, dtype: DType) -> Tensor<3> {
    let shape = [layout.batch_size(), layout.sequence_length(), width];
    let mut random = Random::new(5, "input", 0, 0);
    let all: Vec<f64> = (0..shape.iter().product()).map(|_| 2.0 * random.normal()).collect();
    Tensor::from_data(TensorData::new(all, shape), (&device(), dtype))
}

/// The part over tokens `from..to` of each row, after `state`. `x` is the input of all tokens.
pub fn run(
    part: &Part,
    layout: &Layout,
    x: Tensor<3>,
    [from, to]: [usize; 2],
    state: Option<State>,
) -> (Tensor<3>, State) {
    let marks = (0..layout.batch_size()).flat_map(|row| layout.row(row)[from..to].to_vec()).collect();
    let here = Layout::from_marks(marks, to - from).expect("whole rows");
    let mut cx = Context::new(&here, &device());
    cx.stream = TokenStream::new(TokenMarks::new(&here, &device()), Default::default());
    cx.state = Some(state.unwrap_or(State::new(layout.batch_size())));
    let out = part.forward(x.narrow(1, from, to - from), &mut cx);
    (out, cx.commit(&vec![to - from; layout.batch_size()]).expect("a state"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Each document alone, without padding, gives what it gives in a row of documents with padding anywhere.
    #[test]
    fn documents_in_a_row_are_alone(layout in layout()) {
        for text in MIXERS {
            let part = perturbed(part(text, false));
            let (x, width) = (input(&layout, HIDDEN, DType::F64), layout.sequence_length());
            let out = part.forward(x.clone(), &mut Context::new(&layout, &device()));
            for row in 0..layout.batch_size() {
                let live: Vec<usize> = (0..width).filter(|t| layout.row(row)[*t].valid).collect();
                for document in live.chunk_by(|a, b| layout.row(row)[*a].document == layout.row(row)[*b].document) {
                    let cut = |tensor: &Tensor<3>| {
                        let tokens = document.iter().map(|t| tensor.clone().narrow(0, row, 1).narrow(1, *t, 1));
                        Tensor::cat(tokens.collect(), 1)
                    };
                    let alone = Layout::from_offsets(&[0], &[document.len()], document.len(), Direction::Causal);
                    let want = part.forward(cut(&x), &mut Context::new(&alone, &device()));
                    assert_close(&cut(&out), &want, EXACT);
                }
            }
        }
    }

    /// A document continues in the next call, and another one begins there, wherever the cut is.
    #[test]
    fn a_split_document_gives_the_same_result(layout in layout(), at in 1usize..40) {
        for text in MIXERS {
            for (dtype, bound) in [(DType::F64, EXACT), (DType::F32, 1e-4)] {
                let part = part(text, false);
                let part = if dtype == DType::F64 { perturbed(part) } else { part };
                let width = layout.sequence_length();
                let at = at.min(width - 1);
                let after = |range, state| run(&part, &layout, input(&layout, HIDDEN, dtype), range, state);
                let (whole, end) = after([0, width], None);
                let (first, state) = after([0, at], None);
                let bytes = state.bytes();
                let (second, state) = after([at, width], Some(state));
                let both = Tensor::cat(vec![first, second], 1);
                let most = to_f64_vec(&whole).into_iter().fold(1.0, |most: f64, x| most.max(x.abs()));
                prop_assert!(max_abs_diff(&whole, &both) <= bound * most, "{text}");
                prop_assert_eq!((bytes, end.bytes()), (state.bytes(), state.bytes()));
            }
        }
    }
}
