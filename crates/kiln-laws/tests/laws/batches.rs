//! How documents are laid out changes neither losses nor gradients.

use burn::tensor::Device;
use kiln_laws::{
    configs, device,
    loss::{Rows, loss_gradients, loss_value},
    parameters::{apart, in_f64, sum},
};
use kiln_models::Model;
use proptest::prelude::*;

/// Sums of some thousand numbers, in f64, as a share of the greatest gradient.
const EXACT: f64 = 1e-9;

fn model(config: &kiln_models::ModelConfig, device: &Device) -> Model {
    in_f64(Model::init(config, 5, device))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn packed_padded_and_apart_have_one_gradient(
        config in configs::model(), documents in configs::documents(), padding in 0usize..4,
    ) {
        let (model, direction) = (model(&config, &device().autodiff()), configs::direction(&config));
        let each = Rows::apart(&documents, direction).iter().map(|rows| loss_gradients(&model, rows)).collect();
        let alone = sum(each);
        for rows in [Rows::packed(&documents, direction, padding), Rows::beside(&documents, direction, padding)] {
            let together = loss_gradients(&model, &rows);
            prop_assert!(apart(&alone, &together) <= EXACT, "{}", apart(&alone, &together));
        }
    }

    #[test]
    fn batch_mates_change_nothing(
        config in configs::model(), documents in configs::documents(), others in configs::documents(),
    ) {
        let (model, direction) = (model(&config, &device()), configs::direction(&config));
        let first = |mates: &[Vec<u32>]| {
            let alone = std::slice::from_ref(&documents[0]);
            let all = [alone, mates].concat();
            loss_value(&model, &Rows::beside(&all, direction, 0)) - loss_value(&model, &Rows::beside(mates, direction, 0))
        };
        let alone = loss_value(&model, &Rows::apart(&documents[..1], direction)[0]);
        prop_assert!((first(&others) - alone).abs() <= EXACT * (1.0 + alone.abs()) * 10.0);
    }
}

#[test]
fn a_document_more_changes_the_gradient() {
    let config = kiln_models::ModelConfig { vocab: 11, hidden: 8, ..Default::default() };
    let model = model(&config, &device().autodiff());
    let of = |documents: &[Vec<u32>]| loss_gradients(&model, &Rows::packed(documents, Default::default(), 0));
    let (one, two) = (of(&[vec![1, 2, 3]]), of(&[vec![1, 2, 3], vec![4, 5]]));
    assert!(apart(&one, &two) > 1e-2);
    // One document of all the tokens is not two.
    assert!(apart(&of(&[vec![1, 2, 3, 4, 5]]), &two) > 1e-3);
}
