//! The identities hold for any legal model: in f64 to the last digits, and in f32, where other kernels work, to its
//! rounding.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{ExecutionError, Tensor},
};
use kiln_infer::{block_on, identities};
use kiln_kernels::planner::Kernel;
use kiln_laws::{configs, device, parameters::in_f64};
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_spec::Direction;
use proptest::{collection::vec, prelude::*};

/// Hidden states of size 1 and a few hundred additions, in f64.
const EXACT: f64 = 1e-10;

/// The same in f32 for weights as they are drawn, and norms that make a small difference a large one.
const ROUNDING: f64 = 5e-4;

fn model(config: &ModelConfig) -> Model {
    in_f64(Model::init(config, 3, &device()))
}

/// The model with larger weights, so that a wrong look shows.
fn loud(config: &ModelConfig) -> Model {
    struct Louder;
    impl ModuleMapper for Louder {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|weight| weight * 3.0)
        }
    }
    model(config).map(&mut Louder)
}

fn value(difference: impl Future<Output = Result<f64, ExecutionError>>) -> f64 {
    block_on(difference).expect("numbers")
}

/// Models to check and what they may differ by.
fn both(config: &ModelConfig) -> [(Model, f64); 2] {
    [(loud(config), EXACT), (Model::init(config, 3, &device()), ROUNDING)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_chunking_is_the_whole(
        config in configs::model(), documents in configs::documents(), chunks in vec(1usize..6, 1..4),
    ) {
        for (model, most) in both(&config) {
            let difference = value(identities::chunked(&model, &documents, &chunks));
            prop_assert!(difference <= most, "{}", difference);
        }
    }

    #[test]
    fn packed_is_apart(config in configs::model(), documents in configs::documents()) {
        for (model, most) in both(&config) {
            let difference = value(identities::packed(&model, &documents, configs::direction(&config)));
            prop_assert!(difference <= most, "{}", difference);
        }
    }

    #[test]
    fn padded_is_single(config in configs::model(), documents in configs::documents(), padding in 0usize..5) {
        for (model, most) in both(&config) {
            let difference = value(identities::padded(&model, &documents, configs::direction(&config), padding));
            prop_assert!(difference <= most, "{}", difference);
        }
    }

    #[test]
    fn one_kernel_is_the_other(config in configs::model(), document in vec(0..configs::VOCAB as u32, 1..20)) {
        for (model, most) in both(&config) {
            for other in [Kernel::Builtin, Kernel::Fused] {
                let kernels = [Kernel::Reference, other];
                let difference = value(identities::kernels(&model, &document, configs::direction(&config), kernels));
                prop_assert!(difference <= most, "{}: {}", other.name(), difference);
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
fn the_identities_compare_numbers() {
    struct Broken;
    impl ModuleMapper for Broken {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|weight| weight * f64::NAN)
        }
    }
    let broken = model(&attention("\"global\"", Visibility::Causal)).map(&mut Broken);
    let documents = [vec![1, 2, 3, 4, 5, 6], vec![7, 8, 9]];
    assert!(value(identities::chunked(&broken, &documents, &[2])).is_nan());
    assert!(value(identities::packed(&broken, &documents, Direction::Causal)).is_nan());
    assert!(value(identities::padded(&broken, &documents, Direction::Causal, 2)).is_nan());
    let kernels = [Kernel::Reference, Kernel::Builtin];
    assert!(value(identities::kernels(&broken, &documents[0], Direction::Causal, kernels)).is_nan());
}

/// The difference of two models that differ in nothing but a window's width.
#[test]
fn a_window_off_by_one_is_seen() {
    let document: Vec<u32> = (0..10).collect();
    let hidden = |before| {
        let config = attention(&format!("{{ window = {{ before = {before} }} }}"), Visibility::Causal);
        let model = loud(&config);
        let rows = kiln_laws::loss::Rows::packed(std::slice::from_ref(&document), Direction::Causal, 0);
        kiln_laws::loss::loss_value(&model, &rows)
    };
    assert_eq!(hidden(3), hidden(3));
    assert!((hidden(3) - hidden(4)).abs() > 1e-3);
}
