//! Mixtures of experts: against feed-forwards that they must equal, and their router against its formulas.

use crate::gradients::{TOLERANCE, difference, stirred};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_kernels::testing::{assert_close, distance, values as numbers};
use kiln_laws::{
    configs, device,
    loss::{Rows, loss_gradients},
    parameters::{ByPath, filled, in_f64, values},
};
use kiln_models::ModelConfig;
use kiln_nn::{Around, Cx, Init, cx::Probe, part::Part, part::PartConfig};
use kiln_spec::{Direction, Layout, Piece, Random};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const HIDDEN: usize = 6;
const LENGTHS: [usize; 3] = [7, 4, 1];

fn part(text: &str, device: &Device) -> Part {
    let config: PartConfig = serde_json::from_str(text).expect("legal");
    made(&config, device)
}

fn made(config: &PartConfig, device: &Device) -> Part {
    let model = ModelConfig { hidden: HIDDEN, ..ModelConfig::default() };
    let around = Around { dropout: 0.0, ..model.around() };
    config.check(&around, "part").expect("legal");
    in_f64(config.init(&around, &mut Init::new(3, device)))
}

/// The part with some of its values made anew.
fn with(part: &Part, make: impl Fn(&str, &TensorData) -> Option<TensorData>) -> Part {
    let made = |(path, data): (String, TensorData)| (path.clone(), make(&path, &data).unwrap_or(data));
    let new = values(part).into_iter().map(made).collect();
    filled(part.clone(), &new)
}

/// A router that finds all experts equally probable.
fn undecided(part: &Part) -> Part {
    with(part, |path, data| {
        (path == "router.weight").then(|| TensorData::new(vec![0.0; data.num_elements()], data.shape().to_vec()))
    })
}

/// Rows of these lengths, `padding` wider than the longest.
fn layout(lengths: &[usize], padding: usize) -> Layout {
    let row = |length: &usize| vec![Piece { length: *length, start: 0, direction: Direction::Causal }];
    let width = lengths.iter().max().expect("a row") + padding;
    Layout::packed(&lengths.iter().map(row).collect::<Vec<_>>(), width)
}

/// What goes in: the same for a token wherever it stands.
fn input(layout: &Layout) -> Tensor<3> {
    let mut all = Vec::new();
    for row in 0..layout.rows() {
        for (place, mark) in layout.row(row).iter().enumerate() {
            let mut random = Random::new(5, "input", row as u64, if mark.live { place as u64 } else { 1000 });
            all.extend((0..HIDDEN).map(|_| 2.0 * random.normal()));
        }
    }
    let shape = [layout.rows(), layout.width(), HIDDEN];
    Tensor::from_data(TensorData::new(all, shape), (&device(), DType::F64))
}

/// What was listened to, by path.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<ByPath<Vec<f64>>>>);

impl Probe for Ear {
    fn wants(&self, _path: &str) -> bool {
        true
    }

    fn at(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        self.0.lock().expect("one thread").insert(path.into(), numbers(&value));
        value
    }
}

/// What comes out, what was heard, and the losses added on the way.
fn run(part: &Part, layout: &Layout) -> (Tensor<3>, ByPath<Vec<f64>>, ByPath<(Tensor<1>, f64)>) {
    let (mut cx, ear) = (Cx::new(layout, &device()), Ear::default());
    cx.probe = Some(Box::new(ear.clone()));
    let out = part.forward(input(layout), &mut cx);
    let added = cx.take_losses().into_iter().map(|l| (l.name, (l.value, l.weight))).collect();
    let heard = ear.0.lock().expect("one thread").clone();
    (out, heard, added)
}

fn out(part: &Part) -> Tensor<3> {
    run(part, &layout(&LENGTHS, 0)).0
}

/// One expert of a mixture as a feed-forward of its own.
fn expert(mixture: &Part, dense: &Part, number: usize) -> Part {
    let all = values(mixture);
    with(dense, |path, data| {
        let stack: Vec<f64> = all[&format!("experts.{path}")].iter::<f64>().collect();
        let own = stack[number * data.num_elements()..][..data.num_elements()].to_vec();
        Some(TensorData::new(own, data.shape().to_vec()))
    })
}

const KINDS: [&str; 2] = [r#"{"gated":{"inner":5,"bias":true}}"#, r#"{"plain":{"inner":4}}"#];

/// Values of 64-bit sums.
const EXACT: f64 = 1e-12;

#[test]
fn identical_experts_are_one() {
    for (kind, (n, k)) in KINDS.iter().flat_map(|kind| [(1, 1), (4, 2), (3, 3), (4, 1)].map(|n| (kind, n))) {
        let dense = part(kind, &device());
        let one = values(&dense);
        let mixture = part(&format!(r#"{{"experts":{{"experts":{n},"top_k":{k},"expert":{kind}}}}}"#), &device());
        let mixture = with(&mixture, |path, data| {
            let own: Vec<f64> = one[path.strip_prefix("experts.")?].iter::<f64>().collect();
            Some(TensorData::new(own.repeat(n), data.shape().to_vec()))
        });
        let apart = distance(&out(&mixture), &out(&dense));
        // One of several counts its probability.
        assert!(if k == 1 && n > 1 { apart > 1e-3 } else { apart < EXACT }, "{kind} {n} {k}: {apart:e}");
    }
}

#[test]
fn an_undecided_router_takes_the_mean_of_the_first() {
    for (kind, k) in KINDS.iter().flat_map(|kind| [2, 4].map(|k| (kind, k))) {
        let text = format!(r#"{{"experts":{{"experts":4,"top_k":{k},"expert":{kind}}}}}"#);
        let mixture = undecided(&part(&text, &device()));
        let first = (0..k).map(|number| out(&expert(&mixture, &part(kind, &device()), number)));
        let mean = first.reduce(|a, b| a + b).expect("experts") * (1.0 / k as f64);
        assert_close(&out(&mixture), &mean, EXACT);
    }
}

#[test]
fn a_shared_expert_is_added() {
    let without = r#"{"experts":{"experts":3,"expert":"plain"}}"#;
    let with = without.replace(r#""plain""#, r#""plain","shared":{"gated":{"inner":5}}"#);
    let (without, with) = (part(without, &device()), part(&with, &device()));
    let shared = part(r#"{"gated":{"inner":5}}"#, &device());
    let own = values(&with);
    let shared = self::with(&shared, |path, _| Some(own[&format!("shared.{path}")].clone()));
    assert_close(&out(&with), &(out(&without) + out(&shared)), EXACT);
}

/// Probabilities and logits of a row of x, by the host.
fn logits(router: &[f64], x: &[f64]) -> Vec<f64> {
    let experts = router.len() / HIDDEN;
    (0..experts).map(|e| (0..HIDDEN).map(|i| x[i] * router[i * experts + e]).sum()).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
    logits.iter().map(|l| l.exp() / sum).collect()
}

/// The k greatest, the first of equals.
fn greatest(p: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    order[..k].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_router_is_its_formulas(config in configs::experts(), padding in 0usize..3) {
        let (n, k) = (config.experts, config.top_k);
        let mixture = made(&PartConfig::Experts(config.clone()), &device());
        let layout = layout(&LENGTHS, padding);
        let (_, heard, added) = run(&mixture, &layout);
        let router: Vec<f64> = values(&mixture)["router.weight"].iter::<f64>().collect();
        let x = numbers(&input(&layout));
        let (mut share, mut mean, mut z) = (vec![0.0; n], vec![0.0; n], 0.0);
        for (token, mark) in layout.marks().iter().enumerate() {
            let logits = logits(&router, &x[token * HIDDEN..][..HIDDEN]);
            let p = softmax(&logits);
            let chosen = greatest(&p, k);
            let sum = if config.normalize == Some(true) { chosen.iter().map(|e| p[*e]).sum() } else { 1.0 };
            for e in 0..n {
                let weight = if chosen.contains(&e) { p[e] / sum } else { 0.0 };
                prop_assert!((heard["router"][token * n + e] - p[e]).abs() < EXACT);
                prop_assert!((heard["chosen"][token * n + e] - weight).abs() < EXACT);
            }
            if mark.live {
                let live = layout.live() as f64;
                chosen.iter().for_each(|e| share[*e] += 1.0 / (live * k as f64));
                (0..n).for_each(|e| mean[e] += p[e] / live);
                z += logits.iter().map(|l| l.exp()).sum::<f64>().ln().powi(2) / live;
            }
        }
        let balance = n as f64 * share.iter().zip(&mean).map(|(f, p)| f * p).sum::<f64>();
        for (name, want, weight) in [("balance", balance, config.balance), ("z", z, config.z)] {
            prop_assert!((numbers(&added[name].0)[0] - want).abs() < EXACT && added[name].1 == weight, "{}", name);
        }
    }
}

/// 1 for the balance at its best; (ln n)² for the size of logits that are all 0; nothing if it weighs nothing.
#[test]
fn losses_of_an_undecided_router() {
    let text = r#"{"experts":{"experts":4,"balance":0.5,"z":0.25}}"#;
    let (_, _, added) = run(&undecided(&part(text, &device())), &layout(&LENGTHS, 2));
    let all: Vec<(f64, f64)> = added.values().map(|(value, weight)| (numbers(value)[0], *weight)).collect();
    let want = [(1.0, 0.5), (4f64.ln().powi(2), 0.25)];
    assert!(all.iter().zip(want).all(|(a, b)| (a.0 - b.0).abs() < EXACT && a.1 == b.1), "{all:?}");
    let none = part(r#"{"experts":{"balance":0.0,"z":0.0}}"#, &device());
    assert!(run(&none, &layout(&LENGTHS, 0)).2.is_empty());
}

/// Padding counts in no loss: alone and beside a longer row.
#[test]
fn losses_count_live_tokens_alone() {
    let mixture = part(r#"{"experts":{"experts":4}}"#, &device());
    let of = |padding| run(&mixture, &layout(&LENGTHS[..1], padding)).2;
    let (alone, padded) = (of(0), of(5));
    for (name, (value, _)) in &alone {
        assert_close(value, &padded[name].0, EXACT);
    }
    let others = run(&mixture, &layout(&LENGTHS, 0)).2;
    assert!(distance(&others["balance"].0, &alone["balance"].0) > 1e-3);
}

/// Away from where the choice changes, a model's gradient is its slope.
#[test]
fn gradients_are_slopes_where_the_choice_holds() {
    for (k, shared) in [(1, ""), (2, ", shared = 'plain'")] {
        let text = format!(
            "vocab = 11\nhidden = 8\nposition = 'none'\nblocks = [{{ sublayers = [{{ parts = [{{ experts = {{ \
             experts = 4, top_k = {k}{shared} }} }}] }}] }}]"
        );
        let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("legal");
        config.resolve();
        let model = stirred(&configs::gentle(&config));
        let rows = Rows::packed(&[vec![1, 2, 3], vec![4, 5, 6, 7]], Direction::Causal, 1);
        let (apart, path) = difference(&model, &rows, &loss_gradients(&model, &rows));
        assert!(apart <= TOLERANCE, "{k} {path}: {apart:e}");
    }
}

/// The same for the losses on the way, by the router's weights.
#[test]
fn gradients_of_added_losses_are_slopes() {
    let text = r#"{"experts":{"experts":4,"balance":0.5,"z":0.25}}"#;
    let (tracked, layout) = (part(text, &device().autodiff()), layout(&LENGTHS, 1));
    let total = |part: &Part| {
        let added = run(part, &layout).2.into_values().map(|(value, weight)| value * weight);
        added.reduce(|a, b| a + b).expect("losses")
    };
    let found = kiln_laws::parameters::gradients(&tracked, &total(&tracked).backward());
    let step = 1e-5;
    for at in 0..HIDDEN * 4 {
        let moved = |by: f64| {
            let moved = with(&part(text, &device()), |path, data| {
                let mut all: Vec<f64> = data.iter::<f64>().collect();
                (path == "router.weight").then(|| {
                    all[at] += by;
                    TensorData::new(all, data.shape().to_vec())
                })
            });
            numbers(&total(&moved))[0]
        };
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        assert!((slope - found["router.weight"][at]).abs() < 1e-9, "{at}: {slope} {}", found["router.weight"][at]);
    }
}
