//! Several adapters of one site: named, weighted and switched.

use kiln_laws::{device, max_abs_diff, parameters};
use kiln_models::{Model, ModelConfig, named_parameters};
use kiln_nn::adapter::Ia3Config;
use kiln_peft::{
    AdapterConfig, LoraConfig, attach_named, detach, detach_named, merge, set_active, set_enabled, set_weights,
};

use super::virtual_tokens::logits;

fn base() -> Model {
    let mut config = ModelConfig { vocab: 11, hidden: 16, ..ModelConfig::default() };
    config.resolve();
    Model::init(&config, 5, &device())
}

fn lora(rank: usize) -> AdapterConfig {
    AdapterConfig::Lora(LoraConfig { rank, target_modules: vec!["q".into(), "down".into()], ..LoraConfig::default() })
}

/// A LoRA and a DoRA named `a` and `b`, an (IA)³ that scales inputs and outputs named `c`, in f64 with random values.
fn adapted() -> Model {
    let AdapterConfig::Lora(options) = lora(3) else { panic!("a LoRA") };
    let ia3 = Ia3Config {
        target_modules: vec!["q".into(), "down".into()],
        feedforward_modules: vec!["down".into()],
        ..Ia3Config::default()
    };
    let configs = [("a", lora(2)), ("b", AdapterConfig::Dora(options)), ("c", AdapterConfig::Ia3(ia3))];
    let model = configs.iter().fold(base(), |model, (name, config)| attach_named(&model, name, config, 3).unwrap());
    parameters::perturbed(model)
}

fn diff(a: &[f64], b: &[f64]) -> f64 {
    max_abs_diff(a, b) / a.iter().fold(1.0, |most: f64, x| most.max(x.abs()))
}

#[test]
fn names_are_part_of_the_paths() {
    let names: Vec<String> = named_parameters(&adapted()).into_iter().map(|parameter| parameter.path).collect();
    for name in ["lora.a.a", "lora.a.b", "dora.b.a", "dora.b.b", "dora.b.magnitude", "ia3.c.l"] {
        let path = format!("blocks.1.attention.q.{name}");
        assert!(names.contains(&path), "{path} {names:?}");
    }
    let again = attach_named(&adapted(), "a", &lora(2), 0).expect_err("a name twice").to_string();
    assert!(again.contains("adapters named `a`"), "{again}");
    assert!(attach_named(&base(), "a.b", &lora(2), 0).is_err());
    assert!(set_active(&adapted(), &["d"]).expect_err("unknown").to_string().contains("its adapters: a, b, c"));
    assert!(set_weights(&adapted(), &[("a", f64::NAN)]).is_err());
}

#[test]
fn adapters_are_switched_by_name_and_keep_their_values() {
    let all = adapted();
    let base = logits(&detach(&all));
    let alone: Vec<Vec<f64>> = ["a", "b", "c"].map(|name| logits(&set_active(&all, &[name]).unwrap())).into();
    for (index, one) in alone.iter().enumerate() {
        assert!(diff(one, &base) > 1e-3, "adapter {index} changes nothing");
        assert!(alone.iter().skip(index + 1).all(|other| diff(one, other) > 1e-3));
    }
    let without = detach_named(&detach_named(&all, "b").unwrap(), "c").unwrap();
    assert_eq!(logits(&without), alone[0]);
    assert_eq!(logits(&set_active(&all, &[]).unwrap()), base);
    let back = set_enabled(&set_active(&all, &["c"]).unwrap(), true);
    assert_eq!(logits(&back), logits(&all));
}

#[test]
fn outputs_are_weighted_sums() {
    let all = set_weights(&adapted(), &[("a", 0.5), ("b", -1.25), ("c", 2.0)]).unwrap();
    let merged = merge(&all).unwrap();
    assert!(merged.adapters().is_empty());
    assert!(diff(&logits(&all), &logits(&merged)) < 1e-10, "{:e}", diff(&logits(&all), &logits(&merged)));
    assert!(diff(&logits(&all), &logits(&adapted())) > 1e-3, "weights change nothing");
    let off = set_weights(&adapted(), &[("a", 0.0), ("b", 0.0), ("c", 0.0)]).unwrap();
    assert_eq!(logits(&off), logits(&detach(&adapted())));
}
