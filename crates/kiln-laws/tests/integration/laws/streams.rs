//! Residual streams: hyper-connections at their initial values are the plain residual connection, n = 1 always is.

use burn::tensor::{Tensor, TensorData};
use kiln_laws::{device, loss::DocumentRows, values};
use kiln_models::{Model, ModelConfig, hf, named_parameters};
use kiln_nn::{Context, Probe};
use kiln_spec::Direction;
use std::sync::{Arc, Mutex};

fn read(text: &str) -> ModelConfig {
    let blocks = "blocks = [{ repeat = 3, sublayers = [{ parts = ['attention'] }, { junction = 'sandwich', parts = ['gated_mlp'] }] }]";
    kiln_spec::config::parse(&format!("vocab = 11\nhidden = 8\n{text}\n{blocks}"), None).expect("well formed")
}

fn model(text: &str) -> Model {
    let mut config = read(text);
    for _ in 0..2 {
        config.check("model").expect(text);
        config.resolve();
    }
    Model::init(&config, 3, &device())
}

/// Keeps the residual streams after each block.
#[derive(Clone, Default)]
struct StreamRecorder(Arc<Mutex<Vec<Tensor<4>>>>);

impl Probe for StreamRecorder {
    fn wants(&self, path: &str) -> bool {
        path.ends_with(".residual")
    }

    fn intercept(&mut self, _path: &str, value: Tensor<4>) -> Tensor<4> {
        self.0.lock().unwrap().push(value.clone());
        value
    }
}

fn data<const D: usize>(tensor: Tensor<D>) -> TensorData {
    tensor.into_data()
}

/// Hidden states of five tokens, and the residual streams after each block.
fn run(model: &Model) -> (Tensor<3>, Vec<Tensor<4>>) {
    let rows = DocumentRows::packed(&[vec![1, 2, 3, 4, 5]], Direction::Causal, 0);
    let (probe, mut cx) = (StreamRecorder::default(), Context::new(&rows.layout(), &device()));
    cx.probe = Some(Box::new(probe.clone()));
    let hidden = model.forward(Tensor::from_ints([[1, 2, 3, 4, 5]], &device()), &mut cx);
    let streams = probe.0.lock().unwrap().clone();
    (hidden, streams)
}

/// One stream has no parameters and no operation: bits, names and values are those of the plain residual connection.
#[test]
fn one_stream_is_the_plain_residual_connection() {
    let plain = model("");
    for text in ["residual_streams = 'single'", "residual_streams = { hyper_connections = { expansion_rate = 1 } }"] {
        let one = model(text);
        assert_eq!(values(&one), values(&plain), "{text}");
        assert_eq!(data(run(&one).0), data(run(&plain).0), "{text}");
    }
}

/// Initial weights (equation 14): each stream has the bits of the plain residual stream, whatever n.
#[test]
fn new_streams_equal_the_plain_stream() {
    let (hidden, plain) = run(&model(""));
    assert_eq!(plain.len(), 3);
    for n in [2, 4] {
        for dynamic in [false, true] {
            let text =
                format!("residual_streams = {{ hyper_connections = {{ expansion_rate = {n}, dynamic = {dynamic} }} }}");
            let (found, streams) = run(&model(&text));
            for (all, one) in streams.into_iter().zip(&plain) {
                for part in all.chunk(n, 3) {
                    assert_eq!(data(part), data(one.clone()), "{text}");
                }
            }
            // The final norm sees n times the stream: only its ε makes a difference.
            let apart = kiln_kernels::testing::max_abs_diff(&found, &hidden);
            assert!(apart <= 1e-5, "{text}: {apart:e}");
        }
    }
}

#[test]
fn parameters_are_named_after_the_first_part() {
    let plain: Vec<String> = named_parameters(&model("")).into_iter().map(|name| name.path).collect();
    let more = |text: &str| {
        let names = named_parameters(&model(text)).into_iter().filter(|name| !plain.contains(&name.path));
        names.filter(|name| name.path.starts_with("blocks.1.")).map(|name| (name.path, name.shape)).collect::<Vec<_>>()
    };
    let streams = |name: &str, shape: &[usize]| (format!("blocks.1.{name}"), shape.to_vec());
    let found = more("residual_streams = { hyper_connections = { expansion_rate = 2, dynamic = false } }");
    let of = |role: &str| {
        [
            streams(&format!("{role}_streams.static_alpha"), &[2, 3]),
            streams(&format!("{role}_streams.static_beta"), &[2]),
        ]
    };
    assert_eq!(found, [of("attention"), of("feed_forward")].concat());
    let found = more("residual_streams = 'hyper_connections'");
    for (name, shape) in [
        ("attention_streams.static_alpha", &[4, 5][..]),
        ("attention_streams.dynamic.alpha_fn", &[8, 5]),
        ("attention_streams.dynamic.alpha_scale", &[1]),
        ("attention_streams.dynamic.beta_fn", &[8]),
        ("feed_forward_streams.dynamic.norm.weight", &[8]),
    ] {
        assert!(found.contains(&streams(name, shape)), "{name} of {found:?}");
    }
}

/// Sublayer k reads stream k mod n.
#[test]
fn sublayers_take_turns_at_the_streams() {
    let all = values(&model("residual_streams = { hyper_connections = { expansion_rate = 4 } }"));
    let names = (0..3).flat_map(|block| {
        ["attention", "feed_forward"].map(|role| format!("blocks.{block}.{role}_streams.static_alpha"))
    });
    for (k, name) in names.enumerate() {
        let alpha: Vec<f32> = all[&name].iter::<f32>().collect();
        let reads: Vec<f32> = alpha.chunks(5).map(|row| row[0]).collect();
        assert_eq!(reads, (0..4).map(|i| f32::from(u8::from(i == k % 4))).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn streams_that_cannot_be_are_refused_at_their_path() {
    let refused = |config: ModelConfig| config.check("model").expect_err("illegal");
    let rate = refused(read("residual_streams = { hyper_connections = { expansion_rate = 0 } }"));
    assert_eq!(rate.path, "model.residual_streams.hyper_connections.expansion_rate");
    let mut config = read("residual_streams = 'hyper_connections'");
    config.blocks[0].sublayers[1].junction = serde_json::from_str("\"post\"").expect("a junction");
    let post = refused(config.clone());
    assert_eq!(post.path, "model.blocks[0].sublayers[1].junction.post");
    assert!(post.reason.contains("the model has 4 streams"), "{post}");
    config.residual_streams =
        serde_json::from_str("{\"hyper_connections\":{\"expansion_rate\":1}}").expect("one stream");
    assert_eq!(config.check("model"), Ok(()));
}

/// No family of Hugging Face has several streams: the refusal names the key.
#[test]
fn streams_are_not_exported() {
    let text = "vocab = 11\nhidden = 8\nresidual_streams = 'hyper_connections'";
    let mut config: ModelConfig = kiln_spec::config::parse(text, None).expect("well formed");
    config.resolve();
    let refusal = hf::find_family(&config).expect_err("several streams").to_string();
    assert!(refusal.contains("residual_streams"), "{refusal}");
    config.residual_streams = Default::default();
    assert_eq!(hf::find_family(&config).expect("a Llama").0.name, "llama");
}
