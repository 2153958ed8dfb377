//! X-LoRA against peft's `XLoraModel`: scalings, logits and gradients of the classifier.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_laws::{device, fixture::Fixture, loss::DocumentRows, max_abs_diff, parameters};
use kiln_models::{Model, for_each_param};
use kiln_nn::Context;
use kiln_peft::{
    set_enabled,
    xlora::{XLora, XLoraConfig},
};
use kiln_pretrained::{files, peft_format};
use kiln_spec::Direction;
use std::path::{Path, PathBuf};

/// Relative tolerance in f64: the norms and rotary tables of the reference are in f32 there too.
const EXACT: f64 = 1e-5;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The cases, and their options.
fn cases() -> [(&'static str, XLoraConfig); 4] {
    let adapters = ["first", "second"].map(String::from).to_vec();
    let common = XLoraConfig { adapters, dropout: 0.0, ..XLoraConfig::default() };
    [
        (
            "layers",
            XLoraConfig { layerwise: true, depth: 3, width: 6, temperature: 0.5, weight: 1.5, ..common.clone() },
        ),
        ("shared", common.clone()),
        ("top", XLoraConfig { layerwise: true, depth: 2, width: 5, top_k: Some(1), softmax: false, ..common.clone() }),
        ("top-softmax", XLoraConfig { layerwise: true, top_k: Some(2), softmax: false, softmax_top_k: true, ..common }),
    ]
}

/// The base model of the fixtures with its two adapters, in f64.
fn adapted() -> Model {
    let device = device().autodiff();
    let loaded = files::load(&fixtures().join("hf/llama-biases"), &device).expect("a model");
    let both = ["first", "second"].into_iter().fold(loaded.model, |model, name| {
        let folder = fixtures().join("peft/two").join(name);
        peft_format::load_named_adapters(&model, Some(loaded.family), &folder, name).expect(name)
    });
    parameters::to_f64(both)
}

/// The classifier with the fixture's values: its weights are transposed.
fn classifier(config: &XLoraConfig, model: &Model, fixture: &Fixture) -> XLora {
    let xlora = parameters::to_f64(XLora::new(config, model, 0).unwrap());
    let mut values = parameters::values(&xlora);
    assert_eq!(values.len(), 2 * config.depth);
    for (index, kind) in (0..config.depth).flat_map(|index| [(index, "weight"), (index, "bias")]) {
        let name = format!("layers.{index}.{kind}");
        let data = values.get_mut(&name).unwrap_or_else(|| panic!("{name}"));
        *data = TensorData::new(kiln_side(fixture, config, &name), data.shape().to_vec());
    }
    parameters::with_values(xlora, &values)
}

/// A tensor of the classifier in Kiln's order. peft has ReLU and dropout between the linear layers.
fn kiln_side(fixture: &Fixture, config: &XLoraConfig, name: &str) -> Vec<f64> {
    let (prefix, rest) = name.split_at(name.find("layers.").expect("a layer"));
    let mut fields = rest.split('.').skip(1);
    let (index, kind) = (fields.next().unwrap().parse::<usize>().unwrap(), fields.next().unwrap());
    // Without dropout in Kiln, peft's default of 0.2 puts a module after each ReLU.
    assert!(index < config.depth);
    let (shape, values) = fixture.values(&format!("{prefix}{}.{kind}", 3 * index));
    match shape[..] {
        [to, from] => (0..from).flat_map(|i| (0..to).map(move |o| (o, i))).map(|(o, i)| values[o * from + i]).collect(),
        _ => values,
    }
}

fn to_vec<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn relative(found: &[f64], wanted: &[f64]) -> f64 {
    max_abs_diff(found, wanted) / wanted.iter().fold(f64::MIN_POSITIVE, |most: f64, x| most.max(x.abs()))
}

#[test]
fn scalings_logits_and_gradients_equal_those_of_peft() {
    let model = adapted();
    for (case, config) in cases() {
        let fixture = Fixture::open(&format!("peft/xlora/{case}"));
        let xlora = classifier(&config, &model, &fixture);
        let ((shape, ids), (_, lengths)) = (fixture.values("ids"), fixture.values("lengths"));
        let documents: Vec<Vec<u32>> = (0..shape[0])
            .map(|row| ids[row * shape[1]..][..lengths[row] as usize].iter().map(|id| *id as u32).collect())
            .collect();
        let rows = DocumentRows::padded(&documents, Direction::Causal, 0);
        let layout = rows.layout();
        let live: Vec<bool> = layout.marks().iter().map(|mark| mark.valid).collect();
        let mut cx = Context::new(&layout, &device());
        let tokens = TensorData::new(rows.inputs_targets_weights().0, [shape[0], shape[1]]);
        let tokens = Tensor::from_data(tokens, &model.device());
        let hidden = xlora.forward(&model, tokens, &mut cx).unwrap();
        let found = model.outputs(hidden, &cx);

        let width = found.dims()[1];
        let only_live = |values: Vec<f64>, width: usize| -> Vec<f64> {
            let rows = values.chunks_exact(width).zip(&live).filter(|(_, live)| **live);
            rows.flat_map(|(row, _)| row.to_vec()).collect()
        };
        let [logits, wanted] =
            [to_vec(found.clone().inner()), fixture.values("logits").1].map(|values| only_live(values, width));
        assert!(relative(&logits, &wanted) <= EXACT, "{case}: {:e}", relative(&logits, &wanted));

        // The sites are peft's layers, in its order.
        let sites = ["blocks.0.attention.q", "blocks.0.attention.v", "blocks.0.feed_forward.up"];
        let sites: Vec<String> =
            sites.iter().map(ToString::to_string).chain(sites.iter().map(|site| site.replace(".0.", ".1."))).collect();
        assert_eq!(xlora.sites(), sites);
        let factors = to_vec(cx.token_factors.as_ref().expect("factors").values().clone().inner());
        assert_eq!(factors.len(), live.len() * (2 * 2 + 4), "{case}: q of both, v and up of one each, two layers");

        let cotangent = fixture.tensor::<3>("cotangent", &device()).cast(DType::F64).reshape(found.dims());
        let graph = (found * cotangent.autodiff()).sum().backward();
        let gradients = parameters::gradients(&xlora, &graph);
        for (name, gradient) in &gradients {
            let wanted = kiln_side(&fixture, &config, &format!("gradient.{name}"));
            assert!(relative(gradient, &wanted) <= EXACT, "{case}: {name}: {:e}", relative(gradient, &wanted));
        }
        assert_eq!(gradients.len(), 2 * config.depth, "{case}: {:?}", gradients.keys());

        // Controls: without adapters, and with the same adapters at their numbers.
        for other in [set_enabled(&model, false), model.clone()] {
            let mut cx = Context::new(&layout, &device());
            let tokens = TensorData::new(rows.inputs_targets_weights().0, [shape[0], shape[1]]);
            let hidden = other.forward(Tensor::from_data(tokens, &model.device()), &mut cx);
            let plain = only_live(to_vec(other.outputs(hidden, &cx).inner()), width);
            assert!(relative(&plain, &wanted) > 1e-2, "{case}: a control");
        }
    }
}

#[test]
fn the_scalings_are_those_of_peft() {
    let model = adapted();
    for (case, config) in cases() {
        let fixture = Fixture::open(&format!("peft/xlora/{case}"));
        let xlora = classifier(&config, &model, &fixture);
        let ((shape, ids), (_, lengths)) = (fixture.values("ids"), fixture.values("lengths"));
        let base = set_enabled(&model, false);
        let (wanted_shape, wanted) = fixture.values("scalings");
        let per_token = wanted_shape[2] * wanted_shape[3];
        for row in 0..shape[0] {
            let length = lengths[row] as usize;
            let ids: Vec<u32> = ids[row * shape[1]..][..length].iter().map(|id| *id as u32).collect();
            let rows = DocumentRows::padded(&[ids], Direction::Causal, 0);
            let mut cx = Context::new(&rows.layout(), &device());
            let tokens = TensorData::new(rows.inputs_targets_weights().0, [1, rows.layout().sequence_length()]);
            let hidden = base.forward(Tensor::from_data(tokens, &model.device()), &mut cx);
            let found = to_vec(xlora.scalings(hidden, &cx).inner());
            let wanted = &wanted[row * shape[1] * per_token..][..length * per_token];
            assert!(relative(&found[..length * per_token], wanted) <= EXACT, "{case}, row {row}");
        }
    }
}

#[test]
fn options_and_calls_that_do_not_fit_are_refused() {
    let model = adapted();
    let ok = cases()[0].1.clone();
    for (key, config) in [
        ("adapters", XLoraConfig { adapters: Vec::new(), ..ok.clone() }),
        ("adapters", XLoraConfig { adapters: vec!["third".into()], ..ok.clone() }),
        ("depth", XLoraConfig { depth: 0, ..ok.clone() }),
        ("width", XLoraConfig { width: 0, ..ok.clone() }),
        ("dropout", XLoraConfig { dropout: 1.0, ..ok.clone() }),
        ("temperature", XLoraConfig { temperature: 0.0, ..ok.clone() }),
        ("top_k", XLoraConfig { top_k: Some(3), ..ok.clone() }),
        ("top_k", XLoraConfig { top_k: Some(0), ..ok.clone() }),
        ("weight", XLoraConfig { weight: f64::NAN, ..ok.clone() }),
    ] {
        assert_eq!(XLora::new(&config, &model, 0).expect_err("refused").path, format!("xlora.{key}"));
    }
    let xlora = XLora::new(&ok, &model, 0).unwrap();
    let mut cx = Context::resume(model.init_state(&[], &[2]), &[2], 2, Direction::Causal, &device());
    let tokens = Tensor::from_ints([[1, 2]], &model.device());
    let error = xlora.forward(&model, tokens, &mut cx).expect_err("a decoding state");
    assert!(error.to_string().contains("decoding state"), "{error}");
    let mut frozen = 0;
    for_each_param(&model, |param| frozen += usize::from(param.name().contains("xlora")));
    assert_eq!(frozen, 0, "the classifier is no part of the model");
}
