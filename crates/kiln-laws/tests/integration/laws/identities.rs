//! The equivalences of `kiln verify` for any legal model: in f64 to the last digits, in f32, which uses other kernels,
//! to rounding.

use burn::tensor::ExecutionError;
use kiln_infer::{block_on, equivalence};
use kiln_kernels::planner::Kernel;
use kiln_laws::{device, parameters::to_f64, strategies};
use kiln_models::{Model, ModelConfig, Visibility, map_params};
use kiln_spec::Direction;
use proptest::{collection::vec, prelude::*};

/// Hidden states of size 1 and a few hundred additions, in f64.
const EXACT: f64 = 1e-10;

/// The same in f32 for weights as they are drawn, and norms that make a small difference a large one.
const ROUNDING: f64 = 5e-4;

fn model(config: &ModelConfig) -> Model {
    to_f64(Model::init(config, 3, &device()))
}

/// The model with larger weights, so that a wrong look shows.
fn with_large_weights(config: &ModelConfig) -> Model {
    map_params(model(config), |param| param.map(|weight| (weight.flatten() * 3.0).into()))
}

/// The difference, or `None` where no layer uses a kernel.
fn block_on_difference<T>(difference: impl Future<Output = Result<T, ExecutionError>>) -> T {
    block_on(difference).expect("numbers")
}

/// Models to check and what they may differ by.
fn models_with_tolerance(config: &ModelConfig) -> [(Model, f64); 2] {
    [(with_large_weights(config), EXACT), (Model::init(config, 3, &device()), ROUNDING)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn chunked_equals_whole(
        config in strategies::model(), documents in strategies::documents(), chunks in vec(1usize..6, 1..4),
    ) {
        for (model, most) in models_with_tolerance(&config) {
            let difference = block_on_difference(equivalence::chunked_difference(&model, &documents, &chunks));
            prop_assert!(difference <= most, "{}", difference);
        }
    }

    #[test]
    fn packed_equals_separate(config in strategies::model(), documents in strategies::documents()) {
        for (model, most) in models_with_tolerance(&config) {
            let difference = block_on_difference(equivalence::packed_difference(&model, &documents, strategies::direction(&config)));
            prop_assert!(difference <= most, "{}", difference);
        }
    }

    #[test]
    fn padded_equals_single(config in strategies::model(), documents in strategies::documents(), padding in 0usize..5) {
        for (model, most) in models_with_tolerance(&config) {
            let difference = block_on_difference(equivalence::padded_difference(&model, &documents, strategies::direction(&config), padding));
            prop_assert!(difference <= most, "{}", difference);
        }
    }

    #[test]
    fn kernels_equal_each_other(config in strategies::model(), document in vec(0..strategies::VOCAB as u32, 1..20)) {
        for (model, most) in models_with_tolerance(&config) {
            for other in [Kernel::Builtin, Kernel::Fused] {
                let kernels = [Kernel::Reference, other];
                let difference = block_on_difference(equivalence::kernel_difference(&model, &document, strategies::direction(&config), kernels));
                prop_assert!(difference.is_none_or(|difference| difference <= most), "{}: {:?}", other.name(), difference);
            }
        }
    }
}

/// A model of one attention layer.
fn attention(pattern: &str, visibility: Visibility) -> ModelConfig {
    let text = format!(
        "vocab = 11\nhidden = 8\nblocks = [{{ sublayers = [{{ parts = [{{ attention = {{ pattern = {pattern}, \
         projection = {{ heads = {{ heads = 2 }} }} }} }}] }}] }}]"
    );
    let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("legal");
    config.visibility = visibility;
    config.resolve();
    config
}

#[test]
fn a_difference_of_nan_is_nan() {
    let broken = map_params(model(&attention("\"global\"", Visibility::Causal)), |param| {
        param.map(|weight| (weight.flatten() * f64::NAN).into());
    });
    let documents = [vec![1, 2, 3, 4, 5, 6], vec![7, 8, 9]];
    assert!(block_on_difference(equivalence::chunked_difference(&broken, &documents, &[2])).is_nan());
    assert!(block_on_difference(equivalence::packed_difference(&broken, &documents, Direction::Causal)).is_nan());
    assert!(block_on_difference(equivalence::padded_difference(&broken, &documents, Direction::Causal, 2)).is_nan());
    let kernels = [Kernel::Reference, Kernel::Builtin];
    assert!(
        block_on_difference(equivalence::kernel_difference(&broken, &documents[0], Direction::Causal, kernels))
            .is_some_and(f64::is_nan)
    );
}

#[test]
fn a_kernel_that_no_layer_uses_is_not_compared() {
    let document = [1, 2, 3, 4, 5, 6];
    let compare = |config: &ModelConfig, kernel| {
        let model = Model::init(config, 3, &device());
        let kernels = [kernel, Kernel::Reference];
        block_on_difference(equivalence::kernel_difference(&model, &document, Direction::Causal, kernels))
    };
    let softmax = attention("\"global\"", Visibility::Causal);
    assert!([Kernel::Builtin, Kernel::Fused].iter().all(|kernel| compare(&softmax, *kernel).is_some()));
    let text = "vocab = 11\nhidden = 8\nblocks = [{ sublayers = [{ parts = [PART] }] }]";
    for part in ["{ attention = { score = 'talking_heads', projection = { heads = { heads = 2 } } } }", "'gla'"] {
        let mut config: ModelConfig = kiln_spec::config::parse(&text.replace("PART", part), None).expect("legal");
        config.resolve();
        for kernel in [Kernel::Builtin, Kernel::Fused] {
            assert_eq!(compare(&config, kernel), None, "{part}: {}", kernel.name());
        }
    }
}

/// The difference of two models that differ in nothing but a window's width.
#[test]
fn a_window_off_by_one_is_detected() {
    let document: Vec<u32> = (0..10).collect();
    let hidden = |before| {
        let config = attention(&format!("{{ window = {{ before = {before} }} }}"), Visibility::Causal);
        let model = with_large_weights(&config);
        let rows = kiln_laws::loss::DocumentRows::packed(std::slice::from_ref(&document), Direction::Causal, 0);
        kiln_laws::loss::loss_value(&model, &rows)
    };
    assert_eq!(hidden(3), hidden(3));
    assert!((hidden(3) - hidden(4)).abs() > 1e-3);
}
