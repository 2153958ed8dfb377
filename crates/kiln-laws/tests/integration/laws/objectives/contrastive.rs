//! Contrastive training against sentence-transformers (`tools/fixtures_contrastive.py`), its definition and the laws.

use super::tokenizer;
use crate::laws::gradients::{TOLERANCE as SLOPE_TOLERANCE, finite_difference_error_of, perturbed_model};
use burn::tensor::Tensor;
use kiln_data::{Batch, DataError, PackedSequences, Sequence};
use kiln_infer::block_on;
use kiln_kernels::testing::{assert_close, max_abs_diff};
use kiln_laws::{device, fixture::Fixture, parameters};
use kiln_models::{Model, ModelConfig, Stack, Visibility};
use kiln_nn::{
    Context,
    head::{EmbeddingHeadConfig, HeadConfig, Pooling},
};
use kiln_spec::Random;
use kiln_train::{
    Models, Objective, Recipe,
    gradient_checkpointing::GradientCheckpointing,
    objective::{
        Contrastive, Loss, LossUnit, ObjectiveConfig,
        contrastive::{InfoNce, Pairs},
    },
    step::compute_gradients_with,
};

/// Values up to ten, computed in f64 on both sides. `l2_normalize` adds 1e-12 to a square of about 16.
const TOLERANCE: f64 = 1e-9;

const COLUMNS: [&str; 4] = ["anchors", "positives", "negatives.0", "negatives.1"];

fn plain() -> InfoNce {
    InfoNce { temperature: 0.05, normalize: true, symmetric: false, widths: vec![] }
}

/// The cases of the fixture: number of columns and options.
fn cases() -> Vec<(&'static str, usize, InfoNce)> {
    vec![
        ("pairs", 2, plain()),
        ("negatives", 4, plain()),
        ("temperature", 2, InfoNce { temperature: 0.2, ..plain() }),
        ("dot", 4, InfoNce { temperature: 2.5, normalize: false, ..plain() }),
        ("symmetric", 2, InfoNce { symmetric: true, ..plain() }),
        ("symmetric_negatives", 4, InfoNce { symmetric: true, ..plain() }),
        ("matryoshka", 4, InfoNce { widths: vec![(16, 1.0), (8, 0.5), (4, 0.25)], ..plain() }),
        ("duplicates", 2, plain()),
    ]
}

/// Candidates that are no negatives in the case `duplicates`, by its numbers of texts.
fn excluded(case: &str, file: &Fixture, count: usize, columns: usize) -> Vec<bool> {
    if case != "duplicates" {
        return vec![false; count * columns];
    }
    let texts = |name: &str| file.values(&format!("duplicates.{name}")).1;
    let (anchors, positives) = (texts("anchor_texts"), texts("positive_texts"));
    // As sequences of one token each.
    let texts = anchors.iter().zip(&positives).map(|(a, p)| vec![vec![*a as u32], vec![*p as u32]]);
    Pairs::of_batch(&batch(&Contrastive::default(), &packed(&[texts.collect()]))).excluded
}

#[test]
fn losses_gradients_and_metrics_equal_those_of_sentence_transformers() {
    let (file, cpu) = (Fixture::open("contrastive"), device());
    for (case, count, options) in cases() {
        let leaves: Vec<Tensor<2>> = COLUMNS[..count]
            .iter()
            .map(|name| file.tensor::<2>(name, &cpu.clone().autodiff()).require_grad())
            .collect();
        let candidates = Tensor::cat(leaves[1..].to_vec(), 0);
        let pairs = leaves[0].dims()[0];
        let excluded = excluded(case, &file, pairs, candidates.dims()[0]);
        let Loss { sum, metrics } = options.loss(leaves[0].clone(), candidates, &excluded);
        // Not a division: the gradient of Burn's division by a number has a factor in f32.
        let mean = sum * (pairs as f64).recip();
        assert_close(&mean.clone().inner(), &file.tensor(&format!("{case}.loss"), &cpu), TOLERANCE);
        let gradients = mean.backward();
        for (name, leaf) in COLUMNS.iter().zip(&leaves) {
            let expected = file.tensor::<2>(&format!("{case}.d.{name}"), &cpu);
            assert_close(&leaf.grad(&gradients).expect("a gradient"), &expected, TOLERANCE);
        }
        assert_eq!(metrics.iter().map(|(name, _)| *name).collect::<Vec<_>>(), metric_names());
        for (name, sum) in metrics {
            assert_close(&(sum / pairs as f64), &file.tensor(&format!("{case}.{name}"), &cpu), TOLERANCE);
        }
    }
}

fn metric_names() -> Vec<&'static str> {
    Contrastive::default().metrics().iter().map(|metric| metric.name).collect()
}

/// Rows of groups of texts, packed.
fn packed(rows: &[Vec<Vec<Vec<u32>>>]) -> PackedSequences {
    let mut group = 0;
    let rows = rows.iter().map(|groups| {
        let sequences = groups.iter().flat_map(|texts| {
            group += 1;
            let members = texts.iter().enumerate();
            let sequence = |(member, tokens): (usize, &Vec<u32>)| Sequence {
                tokens: tokens.clone(),
                document: 10 * group + member,
                ends_document: true,
                group,
                member,
                ..Sequence::default()
            };
            members.map(sequence).collect::<Vec<_>>()
        });
        sequences.collect()
    });
    super::pack_rows(rows.collect())
}

/// Texts of some tokens that depend on a number.
fn text(number: u32) -> Vec<u32> {
    (0..2 + number % 4).map(|i| 45 + (number * 7 + i * (number + 3)) % 300).collect()
}

/// Groups with and without hard negatives.
fn groups() -> Vec<Vec<Vec<u32>>> {
    let sizes = [2, 4, 3, 2];
    let first = |group: usize| sizes[..group].iter().sum::<usize>() as u32;
    (0..4).map(|group| (0..sizes[group] as u32).map(|member| text(first(group) + member)).collect()).collect()
}

fn batch(objective: &Contrastive, packed: &PackedSequences) -> Batch {
    let models = models(&objective_model(objective));
    block_on(objective.batch(packed, &models, Random::new(1, "objective", 0, 0))).expect("a batch")
}

/// A small model with the attention of the objective.
fn objective_model(objective: &Contrastive) -> ModelConfig {
    let stack = if objective.visibility() == Visibility::Causal { Stack::Decoder } else { Stack::Encoder };
    let mut config = ModelConfig { vocab: tokenizer().vocab_size(), hidden: 16, stack, ..ModelConfig::default() };
    config.blocks[0].repeat = 2;
    config.visibility = objective.visibility();
    config.resolve();
    config
}

fn models(config: &ModelConfig) -> Models {
    Models::new(perturbed_model(config))
}

fn objectives() -> Vec<Contrastive> {
    let pooled = |pooling| Contrastive { pooling: Some(pooling), temperature: 0.5, ..Contrastive::default() };
    vec![
        pooled(Pooling::Mean),
        Contrastive { symmetric: true, ..pooled(Pooling::First) },
        Contrastive { visibility: Some(Visibility::Causal), ..pooled(Pooling::Last) },
        Contrastive { normalize: false, visibility: Some(Visibility::Causal), ..pooled(Pooling::WeightedMean) },
        Contrastive { matryoshka: vec![16, 4], matryoshka_weights: vec![1.0, 0.3], ..pooled(Pooling::Max) },
    ]
}

fn loss(objective: &Contrastive, models: &Models, batch: &Batch) -> Tensor<1> {
    objective.loss(models, batch, &mut Context::new(&batch.layout, &device())).sum
}

#[test]
fn an_embedding_does_not_depend_on_its_neighbors_in_the_row() {
    for objective in objectives() {
        let models = models(&objective_model(&objective));
        let embed = |rows: &[Vec<Vec<Vec<u32>>>]| {
            let batch = batch(&objective, &packed(rows));
            objective.embed(&models.policy, &batch, &mut Context::new(&batch.layout, &device())).inner()
        };
        let one_row = embed(&[groups()]);
        let separate = embed(&groups().into_iter().map(|group| vec![group]).collect::<Vec<_>>());
        let texts: Vec<Vec<u32>> = groups().concat();
        let alone: Vec<Tensor<2>> =
            texts.iter().map(|text| embed(&[vec![vec![text.clone(), text.clone()]]]).narrow(0, 0, 1)).collect();
        assert!(
            max_abs_diff(&one_row, &separate) < TOLERANCE && max_abs_diff(&one_row, &Tensor::cat(alone, 0)) < TOLERANCE
        );
        // Another text has another embedding: what is compared can tell.
        assert!(max_abs_diff(&one_row.clone().narrow(0, 0, 1), &one_row.narrow(0, 1, 1)) > 1e-3);
    }
}

#[test]
fn the_loss_is_that_of_its_definition_in_any_packing() {
    for objective in objectives().into_iter().filter(|objective| objective.matryoshka.is_empty()) {
        let models = models(&objective_model(&objective));
        let rows = [vec![groups()], groups().into_iter().map(|group| vec![group]).collect()];
        let losses = rows.map(|rows: Vec<_>| {
            let batch = batch(&objective, &packed(&rows));
            assert_eq!((objective.unit(), objective.num_units(&batch)), (LossUnit::Batch, 4.0));
            assert_eq!(batch.total_weight(), 0.0, "no token is predicted");
            loss(&objective, &models, &batch).into_scalar::<f64>()
        });
        let batch = batch(&objective, &packed(&[groups()]));
        let vectors = objective.embed(&models.policy, &batch, &mut Context::new(&batch.layout, &device())).inner();
        let width = vectors.dims()[1];
        let values: Vec<f64> = vectors.into_data().iter::<f64>().collect();
        let rows: Vec<&[f64]> = values.chunks(width).collect();
        let expected = defined_loss(&objective, &rows);
        assert!(losses.iter().all(|loss| (loss - expected).abs() < TOLERANCE), "{losses:?} {expected}");
    }
}

/// The loss by its formula, of the embeddings of [`groups`] in their order.
fn defined_loss(objective: &Contrastive, vectors: &[&[f64]]) -> f64 {
    let (anchors, positives) = ([0, 2, 6, 9], [1, 3, 7, 10]);
    let candidates: Vec<usize> = positives.into_iter().chain([4, 5, 8]).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let score = |i: usize, j: usize| {
        let (a, b) = (vectors[i], vectors[j]);
        let scale = if objective.normalize { (dot(a, a) * dot(b, b)).sqrt() } else { 1.0 };
        dot(a, b) / scale / objective.temperature
    };
    let nll = |own: f64, all: Vec<f64>| all.iter().map(|score| score.exp()).sum::<f64>().ln() - own;
    let forward: f64 = anchors
        .iter()
        .zip(positives)
        .map(|(a, p)| nll(score(*a, p), candidates.iter().map(|c| score(*a, *c)).collect()))
        .sum();
    let reverse: f64 = anchors
        .iter()
        .zip(positives)
        .map(|(a, p)| nll(score(*a, p), anchors.iter().map(|other| score(*other, p)).collect()))
        .sum();
    if objective.symmetric { (forward + reverse) / 2.0 } else { forward }
}

#[test]
fn gradients_of_whole_models_equal_finite_differences() {
    for objective in objectives().into_iter().filter(|objective| objective.pooling != Some(Pooling::Max)) {
        let models = models(&objective_model(&objective));
        let batch = batch(&objective, &packed(&[groups()]));
        let gradients = parameters::gradients(&models.policy, &loss(&objective, &models, &batch).backward());
        let value = |model: &Model| loss(&objective, &Models::new(model.clone()), &batch).into_scalar::<f64>();
        let (apart, path) = finite_difference_error_of(&models.policy, &value, &gradients);
        assert!(apart <= SLOPE_TOLERANCE, "{objective:?}: {path}: {apart:e}");
    }
}

#[test]
fn recomputed_blocks_give_the_same_bits() {
    let objective = Contrastive { matryoshka: vec![16, 8, 4], symmetric: true, ..Contrastive::default() };
    let models = Models::new(Model::init(&objective_model(&objective), 3, &device().autodiff()));
    let batch = batch(&objective, &packed(&[groups()]));
    let [stored, recomputed] = [GradientCheckpointing::None, GradientCheckpointing::Block].map(|checkpointing| {
        let key = kiln_nn::context::RngKey { seed: 0, step: 0, micro_batch: 0 };
        let gradients = compute_gradients_with(&models, std::slice::from_ref(&batch), &objective, key, checkpointing);
        (gradients.loss.into_scalar::<f32>().to_bits(), gradients.norm.into_scalar::<f32>().to_bits())
    });
    assert_eq!(stored, recomputed);
}

#[test]
fn equal_texts_are_no_negatives() {
    let [a, b, c, d] = [0, 1, 2, 3].map(text);
    // The second positive is the first one; the hard negative of the third pair is the first anchor.
    let rows =
        [vec![vec![a.clone(), b.clone()], vec![c.clone(), b.clone()]], vec![vec![d.clone(), c.clone(), a.clone()]]];
    let pairs = Pairs::of_batch(&batch(&Contrastive::default(), &packed(&rows)));
    assert_eq!((&pairs.anchors[..], &pairs.candidates[..]), (&[0, 2, 4][..], &[1, 3, 5, 6][..]));
    let marks: String = pairs.excluded.iter().map(|excluded| if *excluded { 'x' } else { '.' }).collect();
    assert_eq!(marks, ".x.x x.x. ....".replace(' ', ""));
    // A batch with nothing but equal texts has nothing to tell apart.
    let objective = Contrastive::default();
    let models = models(&objective_model(&objective));
    let same = batch(&objective, &packed(&[vec![vec![a.clone(), b.clone()], vec![a, b]]]));
    assert!(loss(&objective, &models, &same).into_scalar::<f64>().abs() < TOLERANCE);
}

#[test]
fn groups_that_are_no_pairs_are_refused() {
    let objective = Contrastive::default();
    let mut missing = packed(&[vec![vec![text(0), text(1)]], vec![vec![text(2), text(3)]]]);
    missing.rows[1][1].member = 2;
    let alone = packed(&[vec![vec![text(0), text(1)]], vec![vec![text(2)]]]);
    for packed in [missing, alone] {
        let models = models(&objective_model(&objective));
        let refused = block_on(objective.batch(&packed, &models, Random::new(1, "objective", 0, 0))).unwrap_err();
        assert!(matches!(&refused, DataError::Batch { row: 1, reason } if reason.contains("anchor")), "{refused}");
    }
}

fn recipe(model: ModelConfig, objective: Contrastive) -> Recipe {
    let mut recipe = Recipe { model, ..Recipe::default() };
    recipe.stages[0].objective = ObjectiveConfig::Contrastive(objective);
    recipe
}

#[test]
fn options_follow_the_model_and_its_head_follows_them() {
    let resolved = |model: ModelConfig, objective: Contrastive| {
        let mut recipe = recipe(model, objective);
        recipe.resolve();
        recipe.model.visibility = recipe.trained_visibility();
        recipe.check().unwrap_or_else(|error| panic!("{error}"));
        let ObjectiveConfig::Contrastive(objective) = recipe.stages[0].objective.clone() else { panic!() };
        (objective.pooling.unwrap(), objective.visibility.unwrap(), recipe.model.head)
    };
    let encoder = ModelConfig { stack: Stack::Encoder, ..ModelConfig::default() };
    let (pooling, visibility, _) = resolved(encoder.clone(), Contrastive::default());
    assert_eq!((pooling, visibility), (Pooling::Mean, Visibility::Bidirectional));
    let (pooling, visibility, _) = resolved(ModelConfig::default(), Contrastive::default());
    assert_eq!((pooling, visibility), (Pooling::Last, Visibility::Causal));
    let both = Contrastive { visibility: Some(Visibility::Bidirectional), ..Contrastive::default() };
    let (pooling, visibility, _) = resolved(ModelConfig::default(), both);
    assert_eq!((pooling, visibility), (Pooling::Mean, Visibility::Bidirectional));
    let head = EmbeddingHeadConfig { pooling: Pooling::First, projection_dim: Some(24), normalize: false };
    let headed = ModelConfig { head: HeadConfig::Embedding(head.clone()), ..encoder };
    let (pooling, _, trained) = resolved(headed.clone(), Contrastive::default());
    assert_eq!(
        (pooling, trained),
        (Pooling::First, HeadConfig::Embedding(EmbeddingHeadConfig { normalize: true, ..head.clone() }))
    );
    let (_, _, trained) =
        resolved(headed, Contrastive { pooling: Some(Pooling::Max), normalize: false, ..Contrastive::default() });
    assert_eq!(trained, HeadConfig::Embedding(EmbeddingHeadConfig { pooling: Pooling::Max, ..head }));
}

#[test]
fn what_it_cannot_train_is_refused_with_its_key() {
    let refused = |model: &dyn Fn(&mut ModelConfig), objective: Contrastive| {
        let mut config = ModelConfig { stack: Stack::Encoder, hidden: 16, ..ModelConfig::default() };
        model(&mut config);
        let mut recipe = recipe(config, objective);
        recipe.resolve();
        recipe.model.visibility = recipe.trained_visibility();
        let error = recipe.check().unwrap_err();
        (error.path.clone(), error.to_string())
    };
    let option = |objective: Contrastive, key: &str| {
        let (path, message) = refused(&|_| (), objective);
        assert_eq!(path, format!("stages[0].objective.contrastive.{key}"), "{message}");
    };
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        option(Contrastive { temperature, ..Contrastive::default() }, "temperature");
    }
    for matryoshka in [vec![16, 17], vec![16, 0], vec![8, 4], vec![16, 8, 8]] {
        option(Contrastive { matryoshka, ..Contrastive::default() }, "matryoshka");
    }
    for matryoshka_weights in [vec![1.0], vec![1.0, 0.0], vec![1.0, f64::NAN]] {
        option(
            Contrastive { matryoshka: vec![16, 4], matryoshka_weights, ..Contrastive::default() },
            "matryoshka_weights",
        );
    }
    let (path, message) = refused(&|model| model.head = HeadConfig::Class(Default::default()), Contrastive::default());
    assert!(path == "stages[0].objective" && message.contains("`class`"), "{message}");
    let (path, message) = refused(&|model| model.stack = Stack::EncoderDecoder, Contrastive::default());
    assert!(path == "stages[0].objective" && message.contains("encoder-decoder"), "{message}");
}

#[test]
fn a_batch_is_not_split_into_parts() {
    let mut recipe = recipe(ModelConfig { stack: Stack::Encoder, ..ModelConfig::default() }, Contrastive::default());
    recipe.stages[0].gradient_accumulation = 2;
    recipe.resolve();
    recipe.model.visibility = recipe.trained_visibility();
    let error = recipe.check().unwrap_err();
    assert_eq!(error.path, "stages[0].gradient_accumulation");
    assert!(error.to_string().contains("`contrastive`"), "{error}");
    // Why: the loss of parts is another one.
    let objective = Contrastive { temperature: 0.5, ..Contrastive::default() };
    let models = models(&objective_model(&objective));
    let whole = batch(&objective, &packed(&groups().into_iter().map(|group| vec![group]).collect::<Vec<_>>()));
    let value = |batch: &Batch| loss(&objective, &models, batch).into_scalar::<f64>();
    let parts = value(&whole.select_rows(0..2)) + value(&whole.select_rows(2..4));
    assert!((value(&whole) - parts).abs() > 0.1);
}
