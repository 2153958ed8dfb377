//! Factors of adapters for each token of a call: each token gets what a model with its factors as numbers computes for it,
//! gradients flow to the factors, and gradient checkpointing changes no bit.

use crate::training::runs::recipe;
use burn::{
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use kiln_laws::{device, max_abs_diff, parameters};
use kiln_models::{Model, ModelConfig, Stack, for_each_param};
use kiln_nn::{
    Context,
    adapter::{Ia3Config, PromptTuningConfig, TokenFactors},
    context::GradientSink,
};
use kiln_peft::{AdapterConfig, LoraConfig, attach, attach_named};
use kiln_spec::{Direction, Layout, Random};
use std::collections::BTreeMap;

const IDS: [[i32; 4]; 2] = [[3, 1, 4, 1], [5, 9, 2, 6]];
const EXPERTS: &str = "{ experts = { num_experts = 3, top_k = 2, expert = { gated_mlp = { intermediate = 16 } } } }";

/// Blocks without attention: the output of a token depends on that token alone.
fn separate_tokens() -> String {
    format!(
        "model.blocks=[{{ sublayers = [{{ parts = [\"gated_mlp\"] }}] }}, {{ sublayers = [{{ parts = [{EXPERTS}] }}] }}]"
    )
}

fn mixed_tokens() -> String {
    format!("model.blocks=[{{ repeat = 3, sublayers = [{{ parts = [\"attention\"] }}, {{ parts = [{EXPERTS}] }}] }}]")
}

fn names(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}

fn base(blocks: &str, device: &Device) -> Model {
    let config = ModelConfig { vocab: 11, ..recipe(&[blocks]).model };
    Model::init(&config, 5, device)
}

/// The model with a LoRA at `all` sites, and a DoRA and (IA)³ at the linear ones of the lists; random values in f64.
fn adapted(model: &Model, all: &[&str], dora: &[&str], ia3: &[&str], feedforward: &[&str]) -> Model {
    let lora = |patterns| LoraConfig { rank: 2, target_modules: names(patterns), ..LoraConfig::default() };
    let ia3 = Ia3Config { target_modules: names(ia3), feedforward_modules: names(feedforward), ..Ia3Config::default() };
    let configs =
        [("a", AdapterConfig::Lora(lora(all))), ("b", AdapterConfig::Dora(lora(dora))), ("c", AdapterConfig::Ia3(ia3))];
    let attached = configs.iter().fold(model.clone(), |model, (name, config)| {
        attach_named(&model, name, config, 3).unwrap_or_else(|error| panic!("{error}"))
    });
    parameters::perturbed(attached)
}

/// All adapters of a model: site and name.
fn columns(model: &Model) -> Vec<(String, String)> {
    let adapters = model.adapters().iter();
    adapters.flat_map(|(site, own)| own.iter().map(move |adapter| (site.clone(), adapter.name.clone()))).collect()
}

/// Factors around 1, `[2, 4, n]` in row-major order.
fn draw(count: usize) -> Vec<f64> {
    let mut random = Random::new(7, "factors", 0, 0);
    (0..8 * count).map(|_| 1.0 + 0.5 * random.normal()).collect()
}

fn factors(model: &Model, values: &[f64], device: &Device, dtype: DType) -> TokenFactors {
    let columns = columns(model);
    let data = TensorData::new(values.to_vec(), [2, 4, columns.len()]);
    model.token_factors(Tensor::from_data(data, (device, dtype)), &columns).unwrap_or_else(|error| panic!("{error}"))
}

/// Logits `[8, V]` of the tokens.
fn logits(model: &Model, factors: Option<TokenFactors>, sink: Option<GradientSink>) -> Tensor<2> {
    let layout = Layout::from_offsets(&[0, 0], &[4, 4], 4, Direction::Causal);
    let mut cx = Context::new(&layout, &device());
    (cx.token_factors, cx.gradient_sink) = (factors, sink);
    let hidden = model.forward(Tensor::<2, Int>::from_ints(IDS, &model.device()), &mut cx);
    model.outputs(hidden, &cx)
}

fn to_vec<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// The model with the factors of one token as the numbers of its adapters.
fn with_numbers(model: &Model, values: &[f64]) -> Model {
    let mut adapters = model.adapters().clone();
    for ((site, name), value) in columns(model).into_iter().zip(values) {
        let own = adapters.get_mut(&site).expect("a site").iter_mut().find(|adapter| adapter.name == name);
        own.expect("an adapter").weight = *value;
    }
    model.with_adapters(adapters, 0)
}

#[test]
fn each_token_gets_its_own_factors() {
    let all = ["embedding", "up", "gate", "down"];
    let (up, down) = ("blocks.0.*.up", "blocks.0.*.down");
    let model = adapted(&base(&separate_tokens(), &device()), &all, &[up, "embedding"], &[up, down], &[down]);
    let count = columns(&model).len();
    // LoRA of the embedding and two times three layers, DoRA and (IA)³ of two.
    assert_eq!(count, 7 + 2 + 2, "{:?}", columns(&model));
    let values = draw(count);
    let found = to_vec(logits(&model, Some(factors(&model, &values, &device(), DType::F64)), None));
    let vocab = found.len() / 8;
    for token in 0..8 {
        let alone = with_numbers(&model, &values[token * count..][..count]);
        let row = token * vocab..(token + 1) * vocab;
        let wanted = &to_vec(logits(&alone, None, None))[row.clone()];
        assert!(max_abs_diff(&found[row], wanted) < 1e-12, "token {token}");
    }
    let plain = to_vec(logits(&model, None, None));
    assert!(max_abs_diff(&found, &plain) > 1e-2, "a control");
    // A factor of the model's own multiplies those of the tokens.
    let ones = vec![1.0; values.len()];
    let same = to_vec(logits(&model, Some(factors(&model, &ones, &device(), DType::F64)), None));
    assert!(max_abs_diff(&same, &plain) < 1e-12);
    let halved = kiln_peft::set_weights(&model, &[("a", 0.5)]).unwrap();
    let twice: Vec<f64> =
        (0..values.len()).map(|at| if columns(&model)[at % count].1 == "a" { 2.0 } else { 1.0 }).collect();
    let back = to_vec(logits(&halved, Some(factors(&halved, &twice, &device(), DType::F64)), None));
    assert!(max_abs_diff(&back, &plain) < 1e-12 && max_abs_diff(&to_vec(logits(&halved, None, None)), &plain) > 1e-3);
}

fn mixed(device: &Device) -> Model {
    let all = ["embedding", "q", "v", "up", "gate", "down"];
    adapted(&base(&mixed_tokens(), device), &all, &["q", "o"], &["k", "o"], &["o"])
}

fn slopes(y: &Tensor<2>) -> Tensor<2> {
    let mut random = Random::new(5, "slopes", 0, 0);
    let slopes: Vec<f64> = (0..y.shape().num_elements()).map(|_| random.normal()).collect();
    Tensor::from_data(TensorData::new(slopes, y.dims()), (&y.device(), y.dtype()))
}

#[test]
fn gradients_flow_to_the_factors() {
    let model = mixed(&device().autodiff());
    let plain = mixed(&device());
    let count = columns(&model).len();
    let values = draw(count);
    let leaf = factors(&model, &values, &device().autodiff(), DType::F64).values().clone().require_grad();
    let given = model.token_factors(leaf.clone(), &columns(&model)).unwrap();
    let y = logits(&model, Some(given), None);
    let weights = slopes(&y);
    let gradient = to_vec(leaf.grad(&(y * weights).sum().backward()).expect("a gradient"));
    let loss = |values: &[f64]| {
        let y = logits(&plain, Some(factors(&plain, values, &device(), DType::F64)), None);
        let weights = slopes(&y);
        to_vec((y * weights).sum())[0]
    };
    let size = gradient.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    // Every seventh: every column and every token occurs.
    for at in (0..values.len()).step_by(7) {
        let moved = |by: f64| {
            let mut values = values.clone();
            values[at] += by;
            loss(&values)
        };
        let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((difference - gradient[at]).abs() < 1e-6 * size, "{at}: {difference:e}, {:e}", gradient[at]);
    }
    assert!(gradient.iter().filter(|x| x.abs() > 1e-6 * size).count() > gradient.len() / 2);
}

/// Bits of the loss, of the gradient of the factors and of those of the parameters.
fn bits(model: &Model, dtype: DType, sink: Option<GradientSink>) -> BTreeMap<String, Vec<u64>> {
    let to_bits = |values: Vec<f64>| values.into_iter().map(|x| (x + 0.0).to_bits()).collect::<Vec<_>>();
    let values = draw(columns(model).len());
    let leaf = factors(model, &values, &device().autodiff(), dtype).values().clone().require_grad();
    let given = model.token_factors(leaf.clone(), &columns(model)).unwrap();
    let y = logits(model, Some(given), sink.clone());
    let weights = slopes(&y);
    let loss = (y * weights).sum();
    let mut all = BTreeMap::from([("loss".to_owned(), to_bits(to_vec(loss.clone().inner())))]);
    let mut graph = loss.backward();
    all.insert("factors".into(), to_bits(to_vec(leaf.grad(&graph).expect("a gradient"))));
    let last = GradientsParams::from_module(&mut graph, model);
    let mut sum = GradientsAccumulator::new();
    let parts = sink.map(|sink| sink.take()).unwrap_or_default();
    parts.into_iter().chain([last]).for_each(|part| sum.accumulate(model, part));
    let sum = sum.grads();
    for_each_param(model, |param| {
        all.extend(param.gradient(&sum).map(|gradient| (param.name(), to_bits(to_vec(gradient.flatten())))));
    });
    all
}

#[test]
fn recomputation_changes_no_bit_of_the_gradients_of_factors() {
    let model = mixed(&device().autodiff());
    let adapters = kiln_train::step::set_trainable(model.clone(), &names(&["*.lora.*"])).unwrap();
    for (what, model, dtype) in [("all", model, DType::F64), ("adapters only", adapters, DType::F64)] {
        let (off, on) = (bits(&model, dtype, None), bits(&model, dtype, Some(GradientSink::default())));
        assert!(
            off.keys().eq(on.keys()) && off.contains_key("blocks.1.attention.q.lora.a.a"),
            "{what}: {:?}",
            off.keys()
        );
        for (name, wanted) in &off {
            assert!(on[name] == *wanted, "{what}: {name}");
        }
    }
}

#[test]
fn factors_that_no_token_of_a_site_has_are_refused() {
    let model = mixed(&device());
    let ones = |count: usize| Tensor::<3>::ones([2, 4, count], &device());
    let refused = |model: &Model, count: usize, columns: &[(&str, &str)]| {
        let columns: Vec<(String, String)> =
            columns.iter().map(|(site, name)| (site.to_string(), name.to_string())).collect();
        model.token_factors(ones(count), &columns).expect_err("refused").to_string()
    };
    let q = ("blocks.0.attention.q", "a");
    assert!(refused(&model, 2, &[q]).contains("factors of 1 adapters, found 2"));
    assert!(refused(&model, 2, &[q, q]).contains("two columns"));
    assert!(refused(&model, 1, &[("blocks.0.attention.q", "z")]).contains("no adapter named `z`"));
    assert!(refused(&model, 1, &[("blocks.0.attention.z", "a")]).contains("blocks.0.attention.z"));
    let prompt = PromptTuningConfig { num_virtual_tokens: 2, ..PromptTuningConfig::default() };
    let longer = attach(&model, &AdapterConfig::PromptTuning(prompt), 3).unwrap();
    assert!(refused(&longer, 1, &[q]).contains("virtual tokens"));
    let lora = AdapterConfig::Lora(LoraConfig { target_modules: names(&["q"]), ..LoraConfig::default() });
    let named = |blocks: &str, sets: &[&str]| {
        let mut config = ModelConfig { vocab: 11, ..recipe(&[&[blocks], sets].concat()).model };
        config.resolve();
        attach_named(&Model::init(&config, 5, &device()), "a", &lora, 3).unwrap()
    };
    let depths = "model.blocks=[{ depth = \"mixture_of_depths\", sublayers = [{ parts = [\"attention\"] }] }]";
    assert!(refused(&named(depths, &[]), 1, &[q]).contains("mixture of depths"));
    assert_eq!(model.config().stack, Stack::Decoder);
}
