//! Heads that give one vector for each document.

use burn::tensor::{Int, Tensor, TensorData};
use kiln_laws::{device, loss::DocumentRows, max_abs_diff, parameters::to_f64, strategies};
use kiln_models::Model;
use kiln_nn::{Context, head::HeadConfig};
use kiln_spec::Direction;
use proptest::prelude::*;

/// A few hundred additions in f64.
const EXACT: f64 = 1e-9;

/// What the head gives of every document, in their order.
fn outputs(model: &Model, rows: &DocumentRows) -> Vec<Vec<f64>> {
    let layout = rows.layout();
    let mut cx = Context::new(&layout, &device());
    let row = |row: &Vec<Vec<u32>>| {
        let mut ids: Vec<i32> = row.iter().flatten().map(|id| *id as i32).collect();
        ids.resize(rows.width, 3);
        ids
    };
    let ids: Vec<i32> = rows.documents.iter().flat_map(row).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows.documents.len(), rows.width]), &device());
    let outputs = {
        let hidden = model.forward(ids, &mut cx);
        model.outputs(hidden, &cx)
    };
    let width = outputs.dims()[1];
    outputs.into_data().iter::<f64>().collect::<Vec<_>>().chunks(width).map(<[f64]>::to_vec).collect()
}

/// Greatest difference, in units of the greatest number where that is above 1.
fn max_relative_difference(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    max_abs_diff(&a.concat(), &b.concat()) / a.iter().flatten().fold(1.0, |most: f64, x| most.max(x.abs()))
}

fn pooled_model() -> impl Strategy<Value = kiln_models::ModelConfig> {
    strategies::encoder().prop_filter("a head that pools", |config| config.head.pooling().is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn each_document_gives_one_row_in_any_layout(
        config in pooled_model(), documents in strategies::documents(), padding in 0usize..4,
    ) {
        let model = to_f64(Model::init(&config, 3, &device()));
        let whole = Direction::Bidirectional;
        let alone: Vec<Vec<f64>> = DocumentRows::separate(&documents, whole).iter().flat_map(|rows| outputs(&model, rows)).collect();
        prop_assert_eq!(alone.len(), documents.len());
        let width = match &config.head {
            HeadConfig::Class(class) => class.num_classes,
            HeadConfig::Embedding(embedding) => embedding.projection_dim.unwrap_or(config.hidden),
            HeadConfig::Language(_) => unreachable!("it doesn't pool"),
        };
        prop_assert!(alone.iter().all(|row| row.len() == width));
        for rows in [DocumentRows::packed(&documents, whole, padding), DocumentRows::padded(&documents, whole, padding)] {
            let together = outputs(&model, &rows);
            prop_assert_eq!(together.len(), documents.len());
            prop_assert!(max_relative_difference(&alone, &together) <= EXACT, "{}", max_relative_difference(&alone, &together));
        }
    }

    #[test]
    fn embeddings_have_length_1(config in pooled_model(), documents in strategies::documents()) {
        let sphere = matches!(&config.head, HeadConfig::Embedding(embedding) if embedding.normalize);
        prop_assume!(sphere);
        let model = to_f64(Model::init(&config, 3, &device()));
        for row in outputs(&model, &DocumentRows::padded(&documents, Direction::Bidirectional, 1)) {
            let length: f64 = row.iter().map(|x| x * x).sum();
            prop_assert!((length - 1.0).abs() < 1e-6 || row.iter().all(|x| x.abs() < 1e-5), "{}", length);
        }
    }
}
