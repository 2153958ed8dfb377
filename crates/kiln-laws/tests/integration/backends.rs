//! What other backends compute is what flex computes. Built with one of their features, and run where it is there:
//! `cargo test --release -p kiln-laws --features ndarray backends`.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_data::{Corpus, DiskSpace, Packer, Tokenizer, TokenizerConfig, ValidationSplit, next_token_batch, stories};
use kiln_infer::{block_on, equivalence};
use kiln_laws::parameters;
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

/// Models of few shapes, between them every kind of part that a decoder has.
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
    let piece = |length| Piece { length, start: 0, direction: Direction::Causal };
    let layout = Layout::packed(&[vec![piece(9), piece(6)], vec![piece(13)]], 16);
    ((0..32).map(|i| i * 7 % 67).collect(), layout)
}

/// Hidden states, and the gradient of every parameter by a weighted sum of them.
fn computed(config: &ModelConfig, device: &Device) -> (Vec<f64>, parameters::ByPath<Vec<f64>>) {
    let device = device.clone().autodiff();
    let model = Model::init(config, 3, &device);
    let (tokens, layout) = rows();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [2, 16]), &device.clone().without_autodiff());
    let mut cx = Cx::new(&layout, &device.clone().without_autodiff());
    let hidden = model.forward(tokens, &mut cx);
    let weights: Vec<f32> = (0..hidden.shape().num_elements()).map(|i| (i as f32 * 0.37).sin()).collect();
    let weights = Tensor::<3>::from_data(TensorData::new(weights, hidden.dims()), &device.without_autodiff());
    let live = cx.stream.now.field(kiln_spec::formula::MarkField::Valid).clone().float().unsqueeze_dim::<3>(2);
    let sum = (hidden.clone() * weights * live).sum();
    let values = hidden.inner().into_data().iter::<f64>().collect();
    let gradients = parameters::gradients(&model, &sum.backward());
    (values, gradients)
}

/// Largest difference, as a share of the largest value.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let most = a.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs() / most)
        .fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
}

#[test]
fn every_part_and_its_gradients_are_flexs() {
    for device in devices() {
        for config in models() {
            let ((a, da), (b, db)) = (computed(&config, &Device::flex()), computed(&config, &device));
            // f32, sums of 32 to 64 products in another order.
            assert!(apart(&a, &b) < 1e-4, "{device:?} {config:?}: {}", apart(&a, &b));
            for (name, gradient) in &da {
                let apart = apart(gradient, &db[name]);
                assert!(apart < 1e-3, "{device:?} {name}: {apart}");
            }
        }
    }
}

#[test]
fn any_chunking_is_the_whole_there_too() {
    let documents = [(0..14).collect::<Vec<u32>>(), vec![5, 4, 3, 2, 1]];
    for device in devices() {
        for config in models() {
            let apart =
                block_on(identities::chunked(&Model::init(&config, 3, &device), &documents, &[1, 4])).expect("numbers");
            assert!(apart < 1e-3, "{device:?} {config:?}: {apart}");
        }
    }
}

/// Losses of a short job.
fn losses(device: &Device, steps: u64) -> Vec<f64> {
    let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok::<_, kiln_data::DataError>("")])
        .expect("bytes");
    let texts: Vec<String> = (0..60).map(|number| stories::text(1, number)).collect();
    let split = Split::new(&texts, 0.1).expect("enough");
    let corpus = Arc::new(Corpus::build(&texts, &split, &tokenizer, &Room::memory(), |_, _| ()).expect("tokens"));
    let config = ModelConfig { vocab: tokenizer.vocab(), hidden: 32, ..ModelConfig::default() };
    let mut models = Models { policy: Model::init(&config, 5, &device.clone().autodiff()) };
    let mut optimiser = Optimiser::new(&OptimiserConfig::default());
    let packer = Packer::training(corpus, 64, 0).expect("rows");
    let step = |step| {
        let batch = next_token(&packer.step(step, 4).expect("rows"), Direction::Causal).expect("a batch");
        let found = gradients(&models, &[batch], &Full, Draws { seed: 0, step, part: 0 });
        let loss = found.loss.clone().into_data().iter::<f64>().sum();
        models.policy = found.apply(models.policy.clone(), &mut optimiser, 3e-3, Some(1.0));
        loss
    };
    (0..steps).map(step).collect()
}

#[test]
fn thirty_steps_lose_what_they_lose_on_flex() {
    let flex = losses(&Device::flex(), 30);
    assert!(flex[29] < flex[0] - 1.0, "{flex:?}");
    for device in devices() {
        let there = losses(&device, 30);
        let apart = flex.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-3, "{device:?}: {apart}");
    }
}
