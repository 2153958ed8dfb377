//! Adapters on any model: new ones and disabled ones change nothing, merged ones compute the same, each has an effect.

use kiln_laws::{
    device,
    loss::{DocumentRows, loss},
    parameters::{self, perturbed},
    values,
    variant_cases::variant_cases,
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{
    Context,
    adapter::{AdaLoraConfig, AdapterMap, AdapterSpec, AttachedAdapter, Ia3Config, PromptTuningConfig, VeraConfig},
    context::RngKey,
};
use kiln_peft::{AdapterConfig, LoraConfig, MergedModel, attach, detach, merge, set_enabled};
use std::collections::BTreeSet;

/// An adapter of each method, at all sites that it supports.
pub(crate) fn methods() -> Vec<AdapterConfig> {
    let (all, linear) = (vec!["*".to_string()], vec!["all-linear".to_string()]);
    let lora = LoraConfig { rank: 2, alpha: 3.0, target_modules: all, ..LoraConfig::default() };
    let feedforward_modules = vec!["down".into(), "o".into(), "up".into()];
    vec![
        AdapterConfig::Lora(lora.clone()),
        AdapterConfig::Dora(LoraConfig { target_modules: [linear.clone(), vec!["embedding".into()]].concat(), ..lora }),
        AdapterConfig::Ia3(Ia3Config { target_modules: linear.clone(), feedforward_modules, ..Ia3Config::default() }),
        AdapterConfig::Vera(VeraConfig { rank: 3, target_modules: linear, ..VeraConfig::default() }),
        AdapterConfig::PromptTuning(PromptTuningConfig { num_virtual_tokens: 3, ..PromptTuningConfig::default() }),
        AdapterConfig::AdaLora(AdaLoraConfig {
            init_rank: 3,
            target_rank: 2,
            target_modules: vec!["all-linear".into()],
            ..AdaLoraConfig::default()
        }),
    ]
}

/// The model of every variant that has a site of the method, with adapters at all of them.
fn adapted_models(method: &AdapterConfig) -> Vec<(String, Model)> {
    let adapted = |config: &ModelConfig| attach(&Model::init(config, 5, &device()), method, 9).ok();
    // What no small decoder can hold has nothing to act on.
    let lawful = variant_cases().into_iter().filter(|(card, _)| card.exemption(kiln_spec::card::ALL_LAWS).is_none());
    let all: Vec<_> =
        lawful.filter_map(|(_, s)| Some((format!("{}: {}", method.name(), s.name), adapted(&s.config)?))).collect();
    assert!(all.len() > 30, "{}", all.len());
    all
}

/// Whether a new adapter computes the base: virtual tokens change the model from the start.
fn starts_as_base(method: &AdapterConfig) -> bool {
    !matches!(method, AdapterConfig::PromptTuning(_))
}

/// The loss and the auxiliary losses, in training or not.
fn hidden_values(model: &Model, training: bool) -> Vec<f64> {
    let documents = [vec![1, 2, 3, 4, 5], vec![3, 1, 2]];
    let rows = DocumentRows::padded(&documents, model.config().visibility.direction(3), 1);
    let draws = RngKey { seed: 3, step: 1, micro_batch: 0 };
    let mut cx = match training {
        true => Context::training(&rows.layout(), draws, &device()),
        false => Context::new(&rows.layout(), &device()),
    };
    let main = loss(model, &rows, &mut cx);
    let added = cx.take_auxiliary_losses().into_iter().map(|added| added.value);
    [main].into_iter().chain(added).flat_map(|x| x.into_data().iter::<f64>().collect::<Vec<_>>()).collect()
}

fn max_abs_diff(a: &[f64], b: &[f64]) -> f64 {
    let size = a.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    kiln_laws::max_abs_diff(a, b) / size
}

#[test]
fn new_and_disabled_adapters_change_no_bit() {
    for (method, (name, adapted)) in
        methods().iter().flat_map(|method| adapted_models(method).into_iter().map(move |m| (method, m)))
    {
        let base = hidden_values(&detach(&adapted), true);
        assert!(!starts_as_base(method) || hidden_values(&adapted, true) == base, "{name}");
        let moved = perturbed(adapted);
        let base = detach(&moved);
        assert_eq!(hidden_values(&set_enabled(&moved, false), true), hidden_values(&base, true), "{name}");
        let on = set_enabled(&set_enabled(&moved, false), true);
        assert_eq!(hidden_values(&on, true), hidden_values(&moved, true), "{name}");
        assert!(max_abs_diff(&hidden_values(&moved, true), &hidden_values(&base, true)) > 1e-4, "{name}: a control");
    }
}

#[test]
fn merging_and_unmerging_change_nothing() {
    for (name, adapted) in methods().iter().filter(|method| starts_as_base(method)).flat_map(adapted_models) {
        let moved = perturbed(adapted);
        let before = parameters::values(&moved);
        let merged = MergedModel::new(moved).unwrap();
        assert!(merged.model.adapters().is_empty());
        let once = hidden_values(&merged.model, false);
        let back = merged.unmerge();
        assert!(max_abs_diff(&hidden_values(&back, false), &once) < 1e-9, "{name}");
        assert!(parameters::values(&back).iter().all(|(path, data)| data.as_bytes() == before[path].as_bytes()));
        let off = merge(&set_enabled(&back, false)).unwrap();
        assert_eq!(
            hidden_values(&off, false),
            hidden_values(&detach(&back), false),
            "{name}: what is off adds nothing"
        );
    }
}

#[test]
fn merging_changes_only_rounding_in_f32() {
    let mut config = ModelConfig { vocab: 11, hidden: 16, ..ModelConfig::default() };
    config.resolve();
    let model = attach(&Model::init(&config, 5, &device()), &methods()[0], 9).unwrap();
    let mut drawn = values(&model);
    for (name, data) in drawn.iter_mut().filter(|(name, _)| name.ends_with(".lora.b")) {
        let mut random = kiln_spec::Random::new(1, name, 0, 0);
        let numbers: Vec<f32> = (0..data.num_elements()).map(|_| 0.1 * random.normal() as f32).collect();
        *data = burn::tensor::TensorData::new(numbers, data.shape().to_vec());
    }
    let model = kiln_models::load_state_dict(model, drawn).unwrap();
    let unmerged = hidden_values(&model, false);
    assert!(max_abs_diff(&unmerged, &hidden_values(&merge(&model).unwrap(), false)) <= 1e-6);
    assert!(max_abs_diff(&unmerged, &hidden_values(&detach(&model), false)) > 1e-3, "a control");
}

/// The model with the values of one adapter changed.
fn with_changed_adapter(model: &Model, name: &str, change: impl Fn(&mut AttachedAdapter)) -> Model {
    let mut adapters: AdapterMap = model.adapters().clone();
    change(&mut adapters.get_mut(name).expect("an adapter")[0]);
    model.with_adapters(adapters, 0)
}

/// Every linear layer calls its adapter, with the context that dropout draws from.
#[test]
fn each_adapter_has_an_effect_and_its_own_random_numbers() {
    for (name, adapted) in adapted_models(&methods()[0]) {
        let moved = perturbed(adapted);
        let whole = hidden_values(&moved, true);
        let linear = Model::linear_layers(moved.config()).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
        for map in moved.adapters().keys() {
            // One token a row is picked, or speaks for it: it looks at itself alone, whatever its key.
            let lone = ["lora: depth.mixture_of_depths", "lora: head.class"].contains(&name.as_str())
                && [".q", ".k"].iter().any(|end| map.ends_with(end));
            let off = with_changed_adapter(&moved, map, |beside| beside.enabled = false);
            assert!(lone || max_abs_diff(&whole, &hidden_values(&off, true)) > 0.0, "{name}: {map} has no effect");
            let dropping = with_changed_adapter(&moved, map, |beside| {
                let AdapterSpec::Lora(shape) = &mut beside.spec else { panic!("a LoRA") };
                shape.dropout = 0.5;
            });
            let drawn = max_abs_diff(&whole, &hidden_values(&dropping, true)) > 0.0;
            let may_draw = linear.contains(map) && !map.starts_with("head.");
            assert!(lone || drawn == may_draw, "{name}: {map} draws: {drawn}");
            assert_eq!(
                hidden_values(&dropping, false),
                hidden_values(&moved, false),
                "{name}: {map} draws where nothing trains"
            );
        }
    }
}
