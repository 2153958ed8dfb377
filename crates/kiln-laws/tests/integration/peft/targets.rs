//! Which layers have adapters, the names of their parameters, and refusals.

use kiln_laws::device;
use kiln_models::{Model, ModelConfig, named_parameters};
use kiln_nn::adapter::Ia3Config;
use kiln_peft::{AdapterConfig, LoraConfig, attach, detach};

fn model(text: &str) -> Model {
    let mut config: ModelConfig = kiln_spec::config::parse(text, None).expect("well formed");
    config.resolve();
    config.check("model").expect("legal");
    Model::init(&config, 1, &device())
}

fn small_model() -> Model {
    model(
        "vocab = 11\nhidden = 8\nblocks = [{ repeat = 2, sublayers = [{ parts = ['attention'] }, { parts = ['gated_mlp'] }] }]",
    )
}

fn lora(targets: &[&str]) -> LoraConfig {
    LoraConfig { rank: 3, target_modules: targets.iter().map(ToString::to_string).collect(), ..LoraConfig::default() }
}

fn refusal(model: &Model, config: LoraConfig) -> String {
    attach(model, &AdapterConfig::Lora(config), 0).expect_err("refused").to_string()
}

#[test]
fn parameters_are_named_by_projection_and_method() {
    let adapted = attach(&small_model(), &AdapterConfig::Lora(lora(&["attention.q", "blocks.1.*.down"])), 0).unwrap();
    assert_eq!(adapted.adapters().len(), 3);
    let found = named_parameters(&adapted).into_iter().filter(|name| name.path.contains("lora"));
    let found: Vec<(String, Vec<usize>)> = found.map(|name| (name.path, name.shape)).collect();
    let wanted = [
        ("blocks.0.attention.q.lora.a", vec![8, 3]),
        ("blocks.0.attention.q.lora.b", vec![3, 8]),
        ("blocks.1.attention.q.lora.a", vec![8, 3]),
        ("blocks.1.attention.q.lora.b", vec![3, 8]),
        ("blocks.1.feed_forward.down.lora.a", vec![32, 3]),
        ("blocks.1.feed_forward.down.lora.b", vec![3, 8]),
    ];
    assert_eq!(found, wanted.map(|(name, shape)| (name.to_string(), shape)));
    let own = named_parameters(&adapted).into_iter().filter(|name| !name.path.contains("lora"));
    assert_eq!(named_parameters(&detach(&adapted)), own.collect::<Vec<_>>(), "the base is the same parameters");
}

#[test]
fn a_bare_name_has_the_defaults_of_the_paper() {
    let config: AdapterConfig = kiln_spec::config::parse::<Wrapped>("adapter = 'lora'", None).unwrap().adapter;
    let adapted = attach(&small_model(), &config, 0).unwrap();
    let found: Vec<&str> = adapted.adapters().keys().map(String::as_str).collect();
    assert_eq!(found, ["blocks.0.attention.q", "blocks.0.attention.v", "blocks.1.attention.q", "blocks.1.attention.v"]);
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Wrapped {
    adapter: AdapterConfig,
}

#[test]
fn targets_without_a_match_are_refused_with_the_available_ones() {
    let said = refusal(&small_model(), lora(&["q", "atention.q"]));
    for part in
        ["adapter.lora.target_modules", "`atention.q` matches no layer", "`blocks.*.attention.q`", "attention.q\"]"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(refusal(&small_model(), lora(&["dwon"])).contains("target_modules = [\"down\"]"));
    let said = refusal(&small_model(), lora(&["attention_norm"]));
    assert!(said.contains("matches `blocks.0.attention_norm.weight`, which cannot have an adapter"), "{said}");
    assert!(refusal(&small_model(), lora(&[])).contains("at least one pattern"));
}

/// A model with stacked experts and a shared expert.
fn experts_model() -> Model {
    model(
        "vocab = 11\nhidden = 8\nblocks = [{ sublayers = [{ parts = ['attention'] }, { parts = [{ experts = { shared_expert = \
         'gated_mlp' } }] }] }]",
    )
}

#[test]
fn stacked_experts_and_the_embedding_are_sites() {
    let adapted = attach(&experts_model(), &AdapterConfig::Lora(lora(&["up", "embedding"])), 0).unwrap();
    let found: Vec<&str> = adapted.adapters().keys().map(String::as_str).collect();
    assert_eq!(found, ["blocks.0.feed_forward.experts.up", "blocks.0.feed_forward.shared.up", "embedding"]);
    let shapes: Vec<(String, Vec<usize>)> = named_parameters(&adapted)
        .into_iter()
        .filter(|parameter| parameter.path.contains(".lora.") && !parameter.path.contains("shared"))
        .map(|parameter| (parameter.path, parameter.shape))
        .collect();
    let experts = 8;
    let wanted = [
        ("embedding.lora.a", vec![11, 3]),
        ("embedding.lora.b", vec![3, 8]),
        ("blocks.0.feed_forward.experts.up.lora.a", vec![experts * 8, 3]),
        ("blocks.0.feed_forward.experts.up.lora.b", vec![experts * 3, shapes[3].1[1]]),
    ];
    assert_eq!(shapes, wanted.map(|(name, shape)| (name.to_string(), shape)));
}

#[test]
fn sites_that_a_method_does_not_support_are_refused() {
    let dora = |targets: &[&str]| attach(&experts_model(), &AdapterConfig::Dora(lora(targets)), 0).map(|_| ());
    let said = dora(&["up"]).expect_err("experts").to_string();
    assert!(said.contains("`up` matches `blocks.0.feed_forward.experts.up` (stacked experts)"), "{said}");
    assert!(said.starts_with("adapter.dora.target_modules:"), "{said}");
    let ia3 = Ia3Config { target_modules: vec!["embedding".into()], ..Ia3Config::default() };
    let said = attach(&experts_model(), &AdapterConfig::Ia3(ia3), 0).expect_err("an embedding").to_string();
    assert!(said.contains("`embedding` (embedding)"), "{said}");
    assert!(dora(&["shared.up"]).is_ok());
    let said = refusal(&experts_model(), LoraConfig { dropout: 0.1, ..lora(&["experts.up"]) });
    assert!(said.contains("dropout is not supported for `blocks.0.feed_forward.experts.up`"), "{said}");
    assert!(refusal(&experts_model(), lora(&["virtual_tokens"])).contains("matches no layer"));
}

#[test]
fn illegal_options_are_refused() {
    let small = small_model();
    let class = model("vocab = 11\nhidden = 8\nhead = 'class'\nvisibility = 'bidirectional'");
    assert!(attach(&class, &AdapterConfig::Lora(lora(&["head.classes"])), 0).is_ok());
    let said = refusal(&class, LoraConfig { dropout: 0.1, ..lora(&["head.classes"]) });
    assert!(said.contains("`head.classes`") && said.contains("dropout"), "{said}");
    for (config, key) in [
        (LoraConfig { rank: 0, ..lora(&["q"]) }, "rank"),
        (LoraConfig { alpha: f64::NAN, ..lora(&["q"]) }, "alpha"),
        (LoraConfig { dropout: 1.0, ..lora(&["q"]) }, "dropout"),
    ] {
        assert!(refusal(&small, config).starts_with(&format!("adapter.lora.{key}:")));
    }
    let adapted = attach(&small, &AdapterConfig::default(), 0).unwrap();
    assert!(refusal(&adapted, lora(&["o"])).contains("already has adapters named `default`, at 4 sites"));
}
