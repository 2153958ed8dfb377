//! Other backends against flex: values, gradients and losses. Needs one of the backends' features and its device:
//! `cargo test --release -p kiln-laws --features ndarray backends`.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_data::{Corpus, DiskSpace, Packer, Tokenizer, TokenizerConfig, ValidationSplit, next_token_batch, stories};
use kiln_infer::{block_on, equivalence};
use kiln_laws::{
    loss::{DocumentRows, loss_gradients, loss_value},
    parameters,
    variant_cases::variant_cases,
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{Context, context::RngKey};
use kiln_spec::{Direction, DocumentSpan, Layout};
use kiln_train::{
    Models,
    objective::Full,
    optimizer::{Optimizer, OptimizerConfig},
    step::compute_gradients,
};
use std::sync::Arc;

/// The backends of this build besides flex.
fn devices() -> Vec<Device> {
    vec![
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)]
        Device::ndarray(),
        #[cfg(feature = "wgpu")]
        Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "cuda")]
        Device::cuda(0),
    ]
}

/// Small models that together hold every part of a decoder.
fn models() -> Vec<ModelConfig> {
    let blocks = [
        "{ parts = ['attention'] }, { parts = ['gated_mlp'] }",
        "{ junction = 'sandwich', parts = [{ attention = { projection = { heads = { heads = 4, kv_heads = 2 } }, pattern = { \
         window = { before = 5 } }, score = { softmax = { softcap = 5.0, sink = true } } } }] }, { parts = ['mlp'] }",
        "{ parts = [{ attention = { projection = { latent = { heads = 2 } }, source = { segments = { prefix_length = 3 } } } }] }, \
         { parts = ['experts'] }",
        "{ parts = ['gla'] }, { junction = 'post', parts = ['attention', 'gated_mlp'] }",
        "{ parts = [{ attention = { position = 'alibi', score = 'sigmoid' } }] }",
        "{ parts = [{ attention = { position = 't5' } }] }",
    ];
    let model = |block: &&str| {
        let text = format!("vocab = 67\nhidden = 32\nblocks = [{{ repeat = 2, sublayers = [{block}] }}]");
        let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("well formed");
        config.resolve();
        config.check("model").expect("legal");
        config
    };
    blocks.iter().map(model).collect()
}

/// Two rows of packed documents and padding.
fn rows() -> (Vec<i32>, Layout) {
    let span = |length| DocumentSpan { length, start: 0, direction: Direction::Causal };
    let layout = Layout::packed(&[vec![span(9), span(6)], vec![span(13)]], 16);
    ((0..32).map(|i| i * 7 % 67).collect(), layout)
}

/// Hidden states, and the gradient of every parameter by a weighted sum of them.
fn computed(config: &ModelConfig, device: &Device) -> (Vec<f64>, parameters::ByPath<Vec<f64>>) {
    let device = device.clone().autodiff();
    let model = Model::init(config, 3, &device);
    let (tokens, layout) = rows();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [2, 16]), &device.clone().without_autodiff());
    let mut cx = Context::new(&layout, &device.clone().without_autodiff());
    let hidden = model.forward(tokens, &mut cx);
    let weights: Vec<f32> = (0..hidden.shape().num_elements()).map(|i| (i as f32 * 0.37).sin()).collect();
    let weights = Tensor::<3>::from_data(TensorData::new(weights, hidden.dims()), &device.without_autodiff());
    let live = cx.stream.tokens.field(kiln_spec::formula::MarkField::Valid).clone().float().unsqueeze_dim::<3>(2);
    let sum = (hidden.clone() * weights * live).sum();
    let values = hidden.inner().into_data().iter::<f64>().collect();
    let gradients = parameters::gradients(&model, &sum.backward());
    (values, gradients)
}

/// Largest difference, as a share of the largest value; NaN if any value is.
fn relative_difference(a: &[f64], b: &[f64]) -> f64 {
    let scale = a.iter().fold(1e-3, |scale: f64, x| scale.max(x.abs()));
    kiln_laws::max_abs_diff(a, b) / scale
}

#[test]
fn parts_and_their_gradients_equal_those_of_flex() {
    for device in devices() {
        for config in models() {
            let ((a, da), (b, db)) = (computed(&config, &Device::flex()), computed(&config, &device));
            // f32, sums of 32 to 64 products in another order.
            let difference = relative_difference(&a, &b);
            assert!(difference < 1e-4, "{device:?} {config:?}: {difference}");
            for (name, gradient) in &da {
                let difference = relative_difference(gradient, &db[name]);
                assert!(difference < 1e-3, "{device:?} {name}: {difference}");
            }
        }
    }
}

#[test]
fn chunked_prompts_equal_whole_ones() {
    let documents = [(0..14).collect::<Vec<u32>>(), vec![5, 4, 3, 2, 1]];
    for device in devices() {
        for config in models() {
            let model = Model::init(&config, 3, &device);
            let difference = block_on(equivalence::chunked_difference(&model, &documents, &[1, 4])).expect("numbers");
            assert!(difference < 1e-3, "{device:?} {config:?}: {difference}");
        }
    }
}

/// The loss of two documents and its gradients, for every variant of the registry.
#[test]
fn every_variant_equals_that_of_flex() {
    let documents = [(0..9).map(|i| i * 5 % 13).collect::<Vec<u32>>(), vec![5, 4, 3, 2, 1, 6]];
    for device in devices() {
        let mut differing = Vec::new();
        for (_, case) in variant_cases() {
            let rows = DocumentRows::padded(&documents, case.direction(), 2);
            let on = |device: &Device| {
                let loss = loss_value(&case.model(3, device), &rows);
                (loss, loss_gradients(&case.model(3, &device.clone().autodiff()), &rows))
            };
            let ((a, da), (b, db)) = (on(&Device::flex()), on(&device));
            let (loss, gradients) = ((a - b).abs() / a.abs().max(1.0), parameters::relative_difference(&da, &db));
            // f32, sums in another order. Not `>`: NaN is a difference.
            if !(loss < 1e-4 && gradients < 1e-3) {
                differing.push(format!("{}: loss {loss:.1e}, gradients {gradients:.1e}", case.name));
            }
        }
        assert!(differing.is_empty(), "{device:?}:\n{}", differing.join("\n"));
    }
}

/// Losses of a short job.
fn losses(device: &Device, steps: u64) -> Vec<f64> {
    let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok::<_, kiln_data::DataError>("")])
        .expect("bytes");
    let texts: Vec<String> = (0..60).map(|number| stories::text(1, number)).collect();
    let split = ValidationSplit::new(&texts, 0.1).expect("enough");
    let corpus =
        Arc::new(Corpus::build(&texts, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ()).expect("tokens"));
    let config = ModelConfig { vocab: tokenizer.vocab_size(), hidden: 32, ..ModelConfig::default() };
    let mut models = Models::new(Model::init(&config, 5, &device.clone().autodiff()));
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    let packer = Packer::training(corpus, 64, 0).expect("rows");
    let step = |step| {
        let rows = packer.rows_at_step(step, 4).expect("rows");
        let batch = next_token_batch(&rows, Direction::Causal).expect("a batch");
        let rng_key = RngKey { seed: 0, step, micro_batch: 0 };
        let gradients = compute_gradients(&models, &[batch], &Full, rng_key);
        let loss = gradients.loss.clone().into_data().iter::<f64>().sum();
        models.policy = gradients.apply(models.policy.clone(), &mut optimizer, 3e-3, Some(1.0));
        loss
    };
    (0..steps).map(step).collect()
}

#[test]
fn losses_of_thirty_steps_equal_those_of_flex() {
    let flex = losses(&Device::flex(), 30);
    assert!(flex[29] < flex[0] - 1.0, "{flex:?}");
    for device in devices() {
        let difference = kiln_laws::max_abs_diff(&flex, &losses(&device, 30));
        assert!(difference < 1e-3, "{device:?}: {difference}");
    }
}
