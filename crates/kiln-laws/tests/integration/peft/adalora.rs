//! Allocation of ranks by AdaLoRA against peft's `update_and_allocate`: the same singular values are lost after every step.

use burn::tensor::{Tensor, TensorData};
use kiln_laws::{device, fixture::Fixture};
use kiln_nn::adapter::{AdaLoraConfig, AdapterOptions, AdapterSpec, AdapterStep, StepProgress};

const STEPS: u64 = 10;

fn flat(fixture: &Fixture, name: &str) -> Tensor<1> {
    let (_, values) = fixture.values(name);
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &device())
}

fn to_vec(tensor: &Tensor<1>) -> Vec<f64> {
    tensor.to_data().iter::<f64>().collect()
}

/// The singular values of each site after each step, with the values and gradients of the fixture.
fn allocated(fixture: &Fixture, sites: &[String], config: &AdaLoraConfig) -> Vec<Vec<Vec<f64>>> {
    let spec = AdapterSpec::AdaLora(config.spec("m"));
    let mut states = vec![Default::default(); sites.len()];
    let mut all = Vec::new();
    for step in 1..=STEPS {
        let at = |site: &String, name: &str| flat(fixture, &format!("{step}.{site}.{name}"));
        let mut adapters: Vec<AdapterStep> = sites
            .iter()
            .zip(&states)
            .map(|(site, state)| {
                let named = |prefix: &str| {
                    ["a", "e", "b"].map(|name| (name.to_owned(), at(site, &format!("{prefix}{name}")))).into()
                };
                AdapterStep { values: named(""), gradients: named("gradient_"), state: Clone::clone(state) }
            })
            .collect();
        let mut group: Vec<(&AdapterSpec, &mut AdapterStep)> =
            adapters.iter_mut().map(|adapter| (&spec, adapter)).collect();
        AdapterSpec::after_step(&mut group, StepProgress { step, total_steps: STEPS });
        all.push(adapters.iter().map(|adapter| to_vec(&adapter.values["e"])).collect());
        states = adapters.into_iter().map(|adapter| adapter.state).collect();
    }
    all
}

#[test]
fn the_same_singular_values_are_lost_as_in_peft() {
    let fixture = Fixture::open("peft/adalora-steps/expected");
    let sites: Vec<String> =
        fixture.names("1.").into_iter().filter_map(|name| Some(name.strip_suffix(".allocated")?.to_owned())).collect();
    assert_eq!(sites.len(), 4);
    let config = AdaLoraConfig {
        init_rank: 4,
        target_rank: 2,
        initial_steps: 2,
        final_steps: 2,
        allocation_interval: 2,
        ..AdaLoraConfig::default()
    };
    let found = allocated(&fixture, &sites, &config);
    let mut ranks = Vec::new();
    for (step, found) in (1..=STEPS).zip(&found) {
        for (site, found) in sites.iter().zip(found) {
            let wanted = to_vec(&flat(&fixture, &format!("{step}.{site}.allocated")));
            assert_eq!(found, &wanted, "step {step}, {site}");
        }
        ranks.push(found.iter().flatten().filter(|value| **value != 0.0).count());
    }
    assert_eq!(ranks, [16, 16, 16, 10, 16, 8, 16, 8, 8, 8]);
    // A control: other decays give another importance.
    let other = allocated(&fixture, &sites, &AdaLoraConfig { beta1: 0.1, beta2: 0.99, ..config });
    assert!(other != found);
}
