//! docs/add-a-variant.md is true: its file compiles, and its list line adds a variant to a registry.

mod gain;

use burn::{
    module::Module,
    tensor::{Tensor, Tolerance},
};
use kiln_laws::device;
use kiln_models::ModelConfig;
use kiln_nn::{Initializer, norm::Normalization};

kiln_nn::variants! {
    /// Norms of this test.
    Own, OwnConfig: dyn Normalization {
        /// x ⊙ w (2103.17239).
        "gain" => Gain(gain::Gain),
    }
}

fn guide() -> String {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/add-a-variant.md");
    std::fs::read_to_string(guide).unwrap()
}

#[test]
fn the_guide_shows_this_file_and_this_line() {
    let (file, line) = (include_str!("gain.rs"), "\"gain\" => Gain(gain::Gain),");
    let code = &file[file.find("/// x ⊙ w.").unwrap()..];
    assert!(guide().contains(code), "the guide's file is another one than\n{code}");
    assert!(guide().contains(line) && include_str!("mod.rs").contains(line));
}

#[test]
fn the_list_line_makes_it_a_choice() {
    let config: OwnConfig = serde_json::from_str("\"gain\"").unwrap();
    assert_eq!((config.name(), config.card(), Own::CARDS.len()), ("gain", &Own::CARDS[0], 1));
    let model = ModelConfig { hidden: 3, ..ModelConfig::default() };
    let gain = config.init(&model.build_context(), &mut Initializer::new(0, &device().autodiff()));
    assert_eq!(gain.num_params(), 3);
    let x = Tensor::<3>::from_data([[[1.0, -2.0, 0.5], [4.0, 0.0, 1.5]]], &device().autodiff()).require_grad();
    let y = gain.forward(x.clone());
    y.to_data().assert_approx_eq::<f32>(&x.to_data(), Tolerance::absolute(0.0));
    let gradient = x.grad(&y.sum().backward()).unwrap();
    gradient.to_data().assert_approx_eq::<f32>(&x.ones_like().to_data(), Tolerance::absolute(0.0));
}
