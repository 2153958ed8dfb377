//! Whatever parts a model has: new adapters change nothing, switched off they are as if they weren't there, merged they
//! compute the same, and each of them acts.

use kiln_laws::{
    device,
    loss::{Rows, loss},
    parameters::{self, stirred},
    places::subjects,
    values,
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{
    Cx,
    adapter::{Adapters, Beside, Method},
    cx::Draws,
};
use kiln_peft::{AdapterConfig, LoraConfig, Merged, attach, detach, enable, merge};

/// Adapters beside every linear map of a model; `None` if it has none.
fn everywhere(model: &Model) -> Option<Model> {
    let lora = LoraConfig { rank: 2, alpha: 3.0, targets: vec!["*".into()], ..LoraConfig::default() };
    attach(model, &AdapterConfig::Lora(lora), 9).ok()
}

/// Every variant in its small model, with adapters beside all maps.
fn all() -> Vec<(String, Model)> {
    let adapted = |config: &ModelConfig| everywhere(&Model::init(config, 5, &device()));
    // What no small decoder can hold has nothing to act on.
    let lawful = subjects().into_iter().filter(|(card, _)| card.exemption(kiln_spec::card::EVERY_LAW).is_none());
    let all: Vec<_> = lawful.filter_map(|(_, s)| Some((s.name.clone(), adapted(&s.config)?))).collect();
    assert!(all.len() > 30, "{}", all.len());
    all
}

/// The loss and the losses added on the way, while training or not.
fn found(model: &Model, training: bool) -> Vec<f64> {
    let documents = [vec![1, 2, 3, 4, 5], vec![3, 1, 2]];
    let rows = Rows::beside(&documents, model.config().visibility.direction(3), 1);
    let draws = Draws { seed: 3, step: 1, part: 0 };
    let mut cx = match training {
        true => Cx::training(&rows.layout(), draws, &device()),
        false => Cx::new(&rows.layout(), &device()),
    };
    let main = loss(model, &rows, &mut cx);
    let added = cx.take_losses().into_iter().map(|added| added.value);
    [main].into_iter().chain(added).flat_map(|x| x.into_data().iter::<f64>().collect::<Vec<_>>()).collect()
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    let size = a.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    kiln_laws::farthest(a, b) / size
}

#[test]
fn new_and_switched_off_adapters_change_no_bit() {
    for (name, adapted) in all() {
        let base = found(&detach(&adapted), true);
        assert_eq!(found(&adapted, true), base, "{name}");
        let moved = stirred(adapted);
        let base = detach(&moved);
        assert_eq!(found(&enable(&moved, false), true), found(&base, true), "{name}");
        let on = enable(&enable(&moved, false), true);
        assert_eq!(found(&on, true), found(&moved, true), "{name}");
        assert!(apart(&found(&moved, true), &found(&base, true)) > 1e-4, "{name}: a control");
    }
}

#[test]
fn merged_is_unmerged_and_back() {
    for (name, adapted) in all() {
        let moved = stirred(adapted);
        let before = parameters::values(&moved);
        let merged = Merged::new(moved);
        assert!(merged.model.adapters().is_empty());
        let once = found(&merged.model, false);
        let back = merged.unmerge();
        assert!(apart(&found(&back, false), &once) < 1e-9, "{name}");
        assert!(parameters::values(&back).iter().all(|(path, data)| data.as_bytes() == before[path].as_bytes()));
        let off = merge(&enable(&back, false));
        assert_eq!(found(&off, false), found(&detach(&back), false), "{name}: what is off adds nothing");
    }
}

#[test]
fn merged_is_unmerged_in_f32() {
    let mut config = ModelConfig { vocab: 11, hidden: 16, ..ModelConfig::default() };
    config.resolve();
    let model = everywhere(&Model::init(&config, 5, &device())).unwrap();
    let mut drawn = values(&model);
    for (name, data) in drawn.iter_mut().filter(|(name, _)| name.ends_with(".lora.b")) {
        let mut random = kiln_spec::Random::new(1, name, 0, 0);
        let numbers: Vec<f32> = (0..data.num_elements()).map(|_| 0.1 * random.normal() as f32).collect();
        *data = burn::tensor::TensorData::new(numbers, data.shape().to_vec());
    }
    let model = kiln_models::filled(model, drawn).unwrap();
    let unmerged = found(&model, false);
    assert!(apart(&unmerged, &found(&merge(&model), false)) <= 1e-6);
    assert!(apart(&unmerged, &found(&detach(&model), false)) > 1e-3, "a control");
}

/// The model with one of its adapters changed.
fn with(model: &Model, name: &str, change: impl Fn(&mut Beside)) -> Model {
    let mut adapters: Adapters = model.adapters().clone();
    change(adapters.get_mut(name).expect("an adapter"));
    model.with_adapters(adapters, 0)
}

/// Each map asks its adapter, and gives it the call to draw its random numbers from.
#[test]
fn each_adapter_acts_and_draws() {
    for (name, adapted) in all() {
        let moved = stirred(adapted);
        let whole = found(&moved, true);
        for map in moved.adapters().keys() {
            // One token a row is picked, or speaks for it: it looks at itself alone, whatever its key.
            let lone = ["depth.mixture_of_depths", "head.class"].contains(&name.as_str())
                && [".q", ".k"].iter().any(|end| map.ends_with(end));
            let off = with(&moved, map, |beside| beside.on = false);
            assert!(lone || apart(&whole, &found(&off, true)) > 0.0, "{name}: {map} has no effect");
            let dropping = with(&moved, map, |beside| {
                let Method::Lora(shape) = &mut beside.method;
                shape.dropout = 0.5;
            });
            let drawn = apart(&whole, &found(&dropping, true)) > 0.0;
            assert!(lone || drawn != map.starts_with("head."), "{name}: {map} draws: {drawn}");
            assert_eq!(found(&dropping, false), found(&moved, false), "{name}: {map} draws where nothing trains");
        }
    }
}
