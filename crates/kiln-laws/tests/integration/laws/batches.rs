//! The layout of documents in a batch changes neither losses nor gradients.

use burn::tensor::Device;
use kiln_laws::{
    device,
    loss::{DocumentRows, loss_gradients, loss_value},
    parameters::{relative_difference, sum_values, to_f64},
    strategies,
};
use kiln_models::Model;
use proptest::prelude::*;

/// Sums of some thousand numbers, in f64, as a share of the greatest gradient.
const EXACT: f64 = 1e-9;

fn model(config: &kiln_models::ModelConfig, device: &Device) -> Model {
    to_f64(Model::init(config, 5, device))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn packed_padded_and_separate_documents_have_the_same_gradient(
        config in strategies::model(), documents in strategies::documents(), padding in 0usize..4,
    ) {
        let (model, direction) = (model(&config, &device().autodiff()), strategies::direction(&config));
        let each = DocumentRows::separate(&documents, direction).iter().map(|rows| loss_gradients(&model, rows)).collect();
        let alone = sum_values(each);
        for rows in [DocumentRows::packed(&documents, direction, padding), DocumentRows::padded(&documents, direction, padding)] {
            let together = loss_gradients(&model, &rows);
            prop_assert!(relative_difference(&alone, &together) <= EXACT, "{}", relative_difference(&alone, &together));
        }
    }

    #[test]
    fn other_documents_of_a_batch_change_nothing(
        config in strategies::model(), documents in strategies::documents(), others in strategies::documents(),
    ) {
        let (model, direction) = (model(&config, &device()), strategies::direction(&config));
        let first = |mates: &[Vec<u32>]| {
            let alone = std::slice::from_ref(&documents[0]);
            let all = [alone, mates].concat();
            loss_value(&model, &DocumentRows::padded(&all, direction, 0)) - loss_value(&model, &DocumentRows::padded(mates, direction, 0))
        };
        let alone = loss_value(&model, &DocumentRows::separate(&documents[..1], direction)[0]);
        prop_assert!((first(&others) - alone).abs() <= EXACT * (1.0 + alone.abs()) * 10.0);
    }
}

#[test]
fn another_document_changes_the_gradient() {
    let config = kiln_models::ModelConfig { vocab: 11, hidden: 8, ..Default::default() };
    let model = model(&config, &device().autodiff());
    let of = |documents: &[Vec<u32>]| loss_gradients(&model, &DocumentRows::packed(documents, Default::default(), 0));
    let (one, two) = (of(&[vec![1, 2, 3]]), of(&[vec![1, 2, 3], vec![4, 5]]));
    assert!(relative_difference(&one, &two) > 1e-2);
    // One document of all the tokens is not two.
    assert!(relative_difference(&of(&[vec![1, 2, 3, 4, 5]]), &two) > 1e-3);
}
