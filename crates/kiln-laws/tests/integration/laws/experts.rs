//! Mixtures of experts: against equivalent feed-forward networks, and the router against its formulas.

use crate::laws::gradients::{TOLERANCE, finite_difference_error, perturbed_model};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_kernels::testing::{assert_close, max_abs_diff, to_f64_vec as numbers};
use kiln_laws::{
    device,
    loss::{DocumentRows, loss_gradients},
    parameters::{ByPath, perturbed, to_f64, values, with_values},
    strategies,
};
use kiln_models::ModelConfig;
use kiln_nn::{
    BuildContext, Context, Initializer,
    context::{Probe, RngKey},
    part::{
        Part, PartConfig,
        experts::{ExpertGroupsConfig, GroupScore, ScoringFunction},
    },
};
use kiln_spec::{Direction, DocumentSpan, Layout, Random};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const HIDDEN: usize = 6;
const LENGTHS: [usize; 3] = [7, 4, 1];

fn part(text: &str, device: &Device) -> Part {
    let config: PartConfig = serde_json::from_str(text).expect("legal");
    build_part(&config, device)
}

fn build_part(config: &PartConfig, device: &Device) -> Part {
    let model = ModelConfig { hidden: HIDDEN, ..ModelConfig::default() };
    let around = BuildContext { dropout: 0.0, ..model.build_context() };
    config.check(&around, "part").expect("legal");
    to_f64(config.init(&around, &mut Initializer::new(3, device)))
}

/// The part with some of its values made anew.
fn with_weights(part: &Part, make: impl Fn(&str, &TensorData) -> Option<TensorData>) -> Part {
    let made = |(path, data): (String, TensorData)| (path.clone(), make(&path, &data).unwrap_or(data));
    let new = values(part).into_iter().map(made).collect();
    with_values(part.clone(), &new)
}

/// A router that finds all experts equally probable.
fn with_equal_logits(part: &Part) -> Part {
    with_weights(part, |path, data| {
        (path == "router.weight").then(|| TensorData::new(vec![0.0; data.num_elements()], data.shape().to_vec()))
    })
}

/// Rows of these lengths, `padding` wider than the longest.
fn layout(lengths: &[usize], padding: usize) -> Layout {
    let row = |length: &usize| vec![DocumentSpan { length: *length, start: 0, direction: Direction::Causal }];
    let width = lengths.iter().max().expect("a row") + padding;
    Layout::packed(&lengths.iter().map(row).collect::<Vec<_>>(), width)
}

/// What goes in: the same for a token wherever it stands.
fn input(layout: &Layout) -> Tensor<3> {
    let mut all = Vec::new();
    for row in 0..layout.batch_size() {
        for (place, mark) in layout.row(row).iter().enumerate() {
            let mut random = Random::new(5, "input", row as u64, if mark.valid { place as u64 } else { 1000 });
            all.extend((0..HIDDEN).map(|_| 2.0 * random.normal()));
        }
    }
    let shape = [layout.batch_size(), layout.sequence_length(), HIDDEN];
    Tensor::from_data(TensorData::new(all, shape), (&device(), DType::F64))
}

/// What was listened to, by path.
#[derive(Clone, Default)]
struct RecordingProbe(Arc<Mutex<ByPath<Vec<f64>>>>);

impl Probe for RecordingProbe {
    fn wants(&self, _path: &str) -> bool {
        true
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        self.0.lock().expect("one thread").insert(path.into(), numbers(&value));
        value
    }
}

/// What comes out, what was heard, and the losses added on the way.
fn run(part: &Part, layout: &Layout) -> (Tensor<3>, ByPath<Vec<f64>>, ByPath<(Tensor<1>, f64)>) {
    let (mut cx, ear) = (Context::new(layout, &device()), RecordingProbe::default());
    cx.probe = Some(Box::new(ear.clone()));
    let out = part.forward(input(layout), &mut cx);
    let added = cx.take_auxiliary_losses().into_iter().map(|l| (l.name, (l.value, l.weight))).collect();
    let heard = ear.0.lock().expect("one thread").clone();
    (out, heard, added)
}

fn output(part: &Part) -> Tensor<3> {
    run(part, &layout(&LENGTHS, 0)).0
}

/// One expert of a mixture as a feed-forward of its own.
fn expert(mixture: &Part, dense: &Part, number: usize) -> Part {
    let all = values(mixture);
    with_weights(dense, |path, data| {
        let stack: Vec<f64> = all[&format!("experts.{path}")].iter::<f64>().collect();
        let own = stack[number * data.num_elements()..][..data.num_elements()].to_vec();
        Some(TensorData::new(own, data.shape().to_vec()))
    })
}

const EXPERT_KINDS: [&str; 2] = [r#"{"gated_mlp":{"intermediate":5,"bias":true}}"#, r#"{"mlp":{"intermediate":4}}"#];

/// Values of 64-bit sums.
const EXACT: f64 = 1e-12;

#[test]
fn identical_experts_equal_one_expert() {
    for (kind, (n, k)) in EXPERT_KINDS.iter().flat_map(|kind| [(1, 1), (4, 2), (3, 3), (4, 1)].map(|n| (kind, n))) {
        let dense = part(kind, &device());
        let one = values(&dense);
        let mixture = part(&format!(r#"{{"experts":{{"num_experts":{n},"top_k":{k},"expert":{kind}}}}}"#), &device());
        let mixture = with_weights(&mixture, |path, data| {
            let own: Vec<f64> = one[path.strip_prefix("experts.")?].iter::<f64>().collect();
            Some(TensorData::new(own.repeat(n), data.shape().to_vec()))
        });
        let apart = max_abs_diff(&output(&mixture), &output(&dense));
        // One of several counts its probability.
        assert!(if k == 1 && n > 1 { apart > 1e-3 } else { apart < EXACT }, "{kind} {n} {k}: {apart:e}");
    }
}

#[test]
fn a_uniform_router_averages_the_first_experts() {
    for (kind, k) in EXPERT_KINDS.iter().flat_map(|kind| [2, 4].map(|k| (kind, k))) {
        let text = format!(r#"{{"experts":{{"num_experts":4,"top_k":{k},"expert":{kind}}}}}"#);
        let mixture = with_equal_logits(&part(&text, &device()));
        let first = (0..k).map(|number| output(&expert(&mixture, &part(kind, &device()), number)));
        let mean = first.reduce(|a, b| a + b).expect("experts") * (1.0 / k as f64);
        assert_close(&output(&mixture), &mean, EXACT);
    }
}

#[test]
fn a_shared_expert_is_added() {
    let without = r#"{"experts":{"num_experts":3,"expert":"mlp"}}"#;
    let with = without.replace(r#""mlp""#, r#""mlp","shared_expert":{"gated_mlp":{"intermediate":5}}"#);
    let (without, with) = (part(without, &device()), part(&with, &device()));
    let shared = part(r#"{"gated_mlp":{"intermediate":5}}"#, &device());
    let own = values(&with);
    let shared = self::with_weights(&shared, |path, _| Some(own[&format!("shared.{path}")].clone()));
    assert_close(&output(&with), &(output(&without) + output(&shared)), EXACT);
}

/// Logits of a row of x, by the host.
fn logits(router: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
    let experts = router.len() / HIDDEN;
    let product = |e: usize| (0..HIDDEN).map(|i| x[i] * router[i * experts + e]).sum::<f64>();
    (0..experts).map(|e| product(e) + bias.get(e).unwrap_or(&0.0)).collect()
}

/// Scores of the experts, by the host.
fn scores(logits: &[f64], function: ScoringFunction) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
    logits
        .iter()
        .map(|l| if function == ScoringFunction::Sigmoid { 1.0 / (1.0 + (-l).exp()) } else { l.exp() / sum })
        .collect()
}

/// Scores for the selection: with the bias, and −∞ outside the best groups.
fn selection_scores(scores: &[f64], bias: &[f64], groups: Option<&ExpertGroupsConfig>) -> Vec<f64> {
    let mut biased: Vec<f64> = scores.iter().enumerate().map(|(e, s)| s + bias.get(e).unwrap_or(&0.0)).collect();
    let Some(ExpertGroupsConfig { n_group, topk_group, score }) = groups else { return biased };
    let size = biased.len() / n_group;
    let of_group = |group: &[f64]| {
        let best = top_k(group, size);
        let second = if *score == GroupScore::TopTwoSum { group[best[1]] } else { 0.0 };
        group[best[0]] + second
    };
    let of_groups: Vec<f64> = biased.chunks(size).map(of_group).collect();
    let chosen = top_k(&of_groups, *topk_group);
    for (e, score) in biased.iter_mut().enumerate() {
        *score = if chosen.contains(&(e / size)) { *score } else { f64::NEG_INFINITY };
    }
    biased
}

/// The k greatest, the first of equals.
fn top_k(p: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    order[..k].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_router_equals_its_formulas(config in strategies::experts(), padding in 0usize..3) {
        let (n, k) = (config.num_experts, config.top_k);
        let mixture = perturbed(build_part(&PartConfig::Experts(config.clone()), &device()));
        let layout = layout(&LENGTHS, padding);
        let (_, heard, added) = run(&mixture, &layout);
        let weights = values(&mixture);
        let [router, router_bias, selection_bias] = ["router.weight", "router.bias", "selection_bias"]
            .map(|name| weights.get(name).map_or(vec![], |data| data.iter::<f64>().collect::<Vec<_>>()));
        prop_assert_eq!([config.router_bias, config.selection_bias.is_some()], [!router_bias.is_empty(), !selection_bias.is_empty()]);
        let x = numbers(&input(&layout));
        let (mut share, mut mean, mut z) = (vec![0.0; n], vec![0.0; n], 0.0);
        for (token, mark) in layout.marks().iter().enumerate() {
            let logits = logits(&router, &router_bias, &x[token * HIDDEN..][..HIDDEN]);
            let p = scores(&logits, config.scoring_func);
            let chosen = top_k(&selection_scores(&p, &selection_bias, config.groups.as_ref()), k);
            let sum = if config.norm_topk_prob == Some(true) { chosen.iter().map(|e| p[*e]).sum() } else { 1.0 };
            for e in 0..n {
                let weight = if chosen.contains(&e) { p[e] / sum * config.routed_scaling_factor } else { 0.0 };
                prop_assert!((heard["router"][token * n + e] - p[e]).abs() < EXACT);
                prop_assert!((heard["chosen"][token * n + e] - weight).abs() < EXACT);
            }
            if mark.valid {
                let live = layout.num_valid() as f64;
                chosen.iter().for_each(|e| share[*e] += 1.0 / (live * k as f64));
                let all: f64 = p.iter().sum();
                (0..n).for_each(|e| mean[e] += p[e] / all / live);
                z += logits.iter().map(|l| l.exp()).sum::<f64>().ln().powi(2) / live;
            }
        }
        let balance = n as f64 * share.iter().zip(&mean).map(|(f, p)| f * p).sum::<f64>();
        for (name, want, weight) in [("balance", balance, config.router_aux_loss_coef), ("z", z, config.router_z_loss_coef)] {
            prop_assert!((numbers(&added[name].0)[0] - want).abs() < EXACT && added[name].1 == weight, "{}", name);
        }
    }
}

/// 1 for the balance at its best; (ln n)² for the size of logits that are all 0; nothing if it weighs nothing.
#[test]
fn losses_of_a_uniform_router_equal_their_formulas() {
    let text = r#"{"experts":{"num_experts":4,"router_aux_loss_coef":0.5,"router_z_loss_coef":0.25}}"#;
    let (_, _, added) = run(&with_equal_logits(&part(text, &device())), &layout(&LENGTHS, 2));
    let all: Vec<(f64, f64)> = added.values().map(|(value, weight)| (numbers(value)[0], *weight)).collect();
    let want = [(1.0, 0.5), (4f64.ln().powi(2), 0.25)];
    assert!(all.iter().zip(want).all(|(a, b)| (a.0 - b.0).abs() < EXACT && a.1 == b.1), "{all:?}");
    let none = part(r#"{"experts":{"router_aux_loss_coef":0.0,"router_z_loss_coef":0.0}}"#, &device());
    assert!(run(&none, &layout(&LENGTHS, 0)).2.is_empty());
}

/// Padding counts in no loss: alone and beside a longer row.
#[test]
fn losses_count_valid_tokens_only() {
    let mixture = part(r#"{"experts":{"num_experts":4}}"#, &device());
    let of = |padding| run(&mixture, &layout(&LENGTHS[..1], padding)).2;
    let (alone, padded) = (of(0), of(5));
    for (name, (value, _)) in &alone {
        assert_close(value, &padded[name].0, EXACT);
    }
    let others = run(&mixture, &layout(&LENGTHS, 0)).2;
    assert!(max_abs_diff(&others["balance"].0, &alone["balance"].0) > 1e-3);
}

/// The output of the shared expert counts by its gate.
#[test]
fn a_gated_shared_expert_is_weighted() {
    let open = r#"{"experts":{"num_experts":3,"expert":"mlp","shared_expert":{"gated_mlp":{"intermediate":5}}}}"#;
    let gated = open.replace(r#""shared_expert":"#, r#""shared_expert_gate":true,"shared_expert":"#);
    let (open, gated) = (part(open, &device()), part(&gated, &device()));
    let gate = |value: f64| {
        with_weights(&gated, |path, data| {
            (path == "shared_gate.weight").then(|| TensorData::new(vec![value; HIDDEN], data.shape().to_vec()))
        })
    };
    let (zero, routed) = (output(&gate(0.0)), part(r#"{"experts":{"num_experts":3,"expert":"mlp"}}"#, &device()));
    assert_close(&(output(&open) + output(&routed)), &(zero.clone() * 2.0), EXACT);
    assert!(max_abs_diff(&output(&gate(1.0)), &zero) > 1e-3);
}

/// A selection bias changes which experts are selected, not their weights, and has no gradient.
#[test]
fn a_selection_bias_acts_on_the_selection_only() {
    let text = r#"{"experts":{"num_experts":4,"top_k":1,"selection_bias":{},"router_aux_loss_coef":0.0,"router_z_loss_coef":0.0}}"#;
    let biased = |device: &Device, by: f64| {
        with_weights(&part(text, device), |path, _| {
            (path == "selection_bias").then(|| TensorData::new(vec![0.0, 0.0, by, 0.0], [4]))
        })
    };
    let (_, free, _) = run(&biased(&device(), 0.0), &layout(&LENGTHS, 0));
    let (_, forced, _) = run(&biased(&device(), 10.0), &layout(&LENGTHS, 0));
    assert_eq!(free["router"], forced["router"]);
    for (chosen, p) in forced["chosen"].chunks(4).zip(forced["router"].chunks(4)) {
        assert_eq!(chosen, [0.0, 0.0, p[2], 0.0]);
    }
    assert!(free["chosen"].chunks(4).any(|chosen| chosen[2] == 0.0));
    let tracked = biased(&device().autodiff(), 0.5);
    let (out, _, _) = run(&tracked, &layout(&LENGTHS, 0));
    let found = kiln_laws::parameters::gradients(&tracked, &out.sum().backward());
    assert!(found.contains_key("router.weight") && !found.contains_key("selection_bias"));
}

/// In training a call records how many live tokens select each expert; the bias of a rarer expert then grows.
#[test]
fn a_training_call_records_the_load_of_live_tokens() {
    let mixture = part(r#"{"experts":{"num_experts":4,"selection_bias":{"update_rate":0.25}}}"#, &device());
    let layout = layout(&LENGTHS, 2);
    let mut cx = Context::training(&layout, RngKey { seed: 1, step: 0, micro_batch: 0 }, &device());
    let ear = RecordingProbe::default();
    cx.probe = Some(Box::new(ear.clone()));
    cx.scope("blocks.1.feed_forward", |cx| mixture.forward(input(&layout), cx));
    let loads = cx.take_expert_loads();
    assert_eq!(loads.len(), 1);
    assert_eq!(loads[0].name, "blocks.1.feed_forward.selection_bias");
    let mut counts = [0.0; 4];
    let chosen = ear.0.lock().expect("one thread")["blocks.1.feed_forward.chosen"].clone();
    for (weights, mark) in chosen.chunks(4).zip(layout.marks()) {
        (0..4).filter(|e| mark.valid && weights[*e] > 0.0).for_each(|e| counts[e] += 1.0);
    }
    assert_eq!(loads[0].counts.to_data().iter::<f64>().collect::<Vec<_>>(), counts);
    assert_eq!(counts.iter().sum::<f64>(), 2.0 * layout.num_valid() as f64);
    let start = Tensor::<1>::from_data([1.0, 2.0, 3.0, 4.0], (&device(), DType::F64));
    let changed: Vec<f64> = loads[0].updated_bias(start).to_data().iter::<f64>().collect();
    let want = |e: usize| match counts[e].total_cmp(&(counts.iter().sum::<f64>() / 4.0)) {
        std::cmp::Ordering::Less => 0.25,
        std::cmp::Ordering::Equal => 0.0,
        std::cmp::Ordering::Greater => -0.25,
    };
    assert_eq!(changed, [1.0, 2.0, 3.0, 4.0].iter().enumerate().map(|(e, b)| b + want(e)).collect::<Vec<_>>());
    let mut evaluation = Context::new(&layout, &device());
    mixture.forward(input(&layout), &mut evaluation);
    assert!(evaluation.take_expert_loads().is_empty());
}

/// Equal scores select the experts, and the groups, with the lowest numbers.
#[test]
fn ties_go_to_the_lowest_numbers() {
    let text = r#"{"experts":{"num_experts":6,"top_k":2,"scoring_func":"sigmoid","groups":{"n_group":3,"topk_group":2,"score":"top_two_sum"}}}"#;
    let (_, heard, _) = run(&with_equal_logits(&part(text, &device())), &layout(&LENGTHS, 0));
    assert!(heard["chosen"].chunks(6).all(|chosen| chosen == [0.5, 0.5, 0.0, 0.0, 0.0, 0.0]));
}

/// Away from where the choice changes, a model's gradient is its slope.
#[test]
fn gradients_equal_finite_differences_where_the_choice_is_constant() {
    let options = [
        (1, ""),
        (2, ", shared_expert = 'mlp'"),
        (2, ", scoring_func = 'sigmoid', routed_scaling_factor = 2.5, selection_bias = {}, router_bias = true"),
        (1, ", scoring_func = 'sigmoid', shared_expert = 'mlp', shared_expert_gate = true"),
        (2, ", groups = { n_group = 2, topk_group = 1 }"),
    ];
    for (k, shared) in options {
        let text = format!(
            "vocab = 11\nhidden = 8\nposition = 'none'\nblocks = [{{ sublayers = [{{ parts = [{{ experts = {{ \
             num_experts = 4, top_k = {k}{shared} }} }}] }}] }}]"
        );
        let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("legal");
        config.resolve();
        let model = perturbed_model(&strategies::with_zero_branches(&config));
        let rows = DocumentRows::packed(&[vec![1, 2, 3], vec![4, 5, 6, 7]], Direction::Causal, 1);
        let (apart, path) = finite_difference_error(&model, &rows, &loss_gradients(&model, &rows));
        assert!(apart <= TOLERANCE, "{k} {path}: {apart:e}");
    }
}

/// The same for the losses on the way, by the router's weights.
#[test]
fn gradients_of_auxiliary_losses_equal_finite_differences() {
    let text = r#"{"experts":{"num_experts":4,"router_aux_loss_coef":0.5,"router_z_loss_coef":0.25}}"#;
    let (tracked, layout) = (part(text, &device().autodiff()), layout(&LENGTHS, 1));
    let total = |part: &Part| {
        let added = run(part, &layout).2.into_values().map(|(value, weight)| value * weight);
        added.reduce(|a, b| a + b).expect("losses")
    };
    let found = kiln_laws::parameters::gradients(&tracked, &total(&tracked).backward());
    let step = 1e-5;
    for at in 0..HIDDEN * 4 {
        let moved = |by: f64| {
            let moved = with_weights(&part(text, &device()), |path, data| {
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
