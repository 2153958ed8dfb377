//! A model with an output matrix of its own instead of the tied token embedding.

use crate::{
    adapters::{handles_by_name, share_by_name},
    model::Model,
    parameters::map_params,
};
use kiln_nn::{Initializer, head::HeadConfig};

/// Name of the output matrix of an untied head.
const OUTPUT_MATRIX: &str = "head.weight";

impl Model {
    /// The model with an output matrix of its own, a copy of the token embedding, so that one can change without the other.
    /// It computes the same up to rounding. All other parameters are shared, with their
    /// [`ParamId`](burn::module::ParamId)s. A model whose head is not tied is returned as it is.
    #[must_use]
    pub fn with_untied_head(&self) -> Self {
        let mut config = self.config().clone();
        match &mut config.head {
            HeadConfig::Language(head) if head.tied => head.tied = false,
            _ => return self.clone(),
        }
        let device = self.device();
        let mut init = Initializer::uninitialized(&device)
            .with_packed(self.packed.clone())
            .with_adapters(self.adapters.clone(), Initializer::uninitialized(&device));
        let empty = Self::build(&config, &mut init);
        let mut shared = handles_by_name(self);
        let table = self.embedding_value();
        let is_trainable = table.is_require_grad();
        let table = if table.is_autodiff() { table.inner() } else { table };
        let mut model = map_params(empty, |param| {
            if param.name() == OUTPUT_MATRIX {
                param.map_held(|_| table.clone().transpose().into());
                param.set_trainable(is_trainable);
            } else {
                share_by_name(param, &mut shared);
            }
        });
        model.weight_dtype = self.weight_dtype;
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelConfig, named_parameters};
    use burn::tensor::{Device, Int, Tensor};
    use kiln_nn::Context;
    use kiln_spec::{DocumentSpan, Layout};

    fn logits(model: &Model) -> Vec<f32> {
        let layout = Layout::packed(&[vec![DocumentSpan { length: 4, ..DocumentSpan::default() }]], 4);
        let tokens = Tensor::<2, Int>::from_ints([[1, 5, 2, 7]], &model.device());
        let mut cx = Context::new(&layout, &model.device().without_autodiff());
        let hidden = model.forward(tokens, &mut cx);
        model.outputs(hidden, &cx).into_data().iter::<f32>().collect()
    }

    /// The product with a transposed matrix sums in another order.
    fn assert_close(a: &[f32], b: &[f32]) {
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
    }

    #[test]
    fn an_untied_head_computes_the_same_until_one_of_the_two_changes() {
        let mut config = ModelConfig { vocab: 11, hidden: 8, ..ModelConfig::default() };
        config.resolve();
        for device in [Device::flex(), Device::flex().autodiff()] {
            let tied = Model::init(&config, 3, &device);
            let untied = tied.with_untied_head();
            assert_close(&logits(&untied), &logits(&tied));
            let names = |model: &Model| named_parameters(model).into_iter().map(|p| p.path).collect::<Vec<_>>();
            assert_eq!(names(&untied).len(), names(&tied).len() + 1);
            assert_eq!(untied.device(), tied.device());
            let changed = map_params(untied.clone(), |param| {
                if param.name() == OUTPUT_MATRIX {
                    param.map(|value| (value.flatten() * 2.0).into());
                }
            });
            let doubled: Vec<f32> = logits(&tied).iter().map(|logit| logit * 2.0).collect();
            assert_close(&logits(&changed), &doubled);
            assert_close(&logits(&untied), &logits(&tied));
            assert_eq!(names(&untied.with_untied_head()), names(&untied));
        }
    }
}
