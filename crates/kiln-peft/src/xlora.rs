//! X-LoRA: a mixture of adapters, whose factors a classifier computes for each token and layer (2402.07148, section 2.2).
//!
//! Two forward passes: one without adapters gives hidden states h `[B, T, M]`, outside of the autodiff graph; a classifier, linear
//! layers with ReLU between them, gives logits `[B, T, L, n]` of n adapters at L sites, and their softmax the factors λ; the second
//! pass computes y = x W + b + Σᵢ λᵢ · adapterᵢ(x) at each site (eq. 3). Gradients flow to the classifier through the factors.
//!
//! Parameters: `layers.i.weight`, `layers.i.bias`, of shapes `[M, width]`, `[width, width]`, …, `[width, L · n]`. Cost: a second
//! forward pass. Reference: `peft.XLoraModel` 0.21.2, to which outputs and gradients are equal.

use crate::attach::set_enabled;
use burn::{
    module::Module,
    tensor::{Int, Tensor, activation},
};
use kiln_models::Model;
use kiln_nn::{
    Context, Initializer,
    adapter::TokenFactors,
    linear::Linear,
    part::experts::{multi_hot, select_top_k},
};
use kiln_spec::ValidationError;

/// Options of an X-LoRA.
#[derive(Clone, Debug, PartialEq)]
pub struct XLoraConfig {
    /// Names of the adapters that are mixed. Each has a factor at every site where it is.
    pub adapters: Vec<String>,
    /// Number of linear layers of the classifier.
    pub depth: usize,
    /// Width between its layers.
    pub width: usize,
    /// Dropout probability between its layers.
    pub dropout: f64,
    /// Whether each site has factors of its own. If not, all have the same.
    pub layerwise: bool,
    /// Softmax over the adapters; without it the factors are the logits.
    pub softmax: bool,
    /// Temperature of this softmax: lower is sharper.
    pub temperature: f64,
    /// Number of adapters with the greatest factors that are used for a token; the others have the factor 0. `None`: all.
    pub top_k: Option<usize>,
    /// Softmax over those that are used.
    pub softmax_top_k: bool,
    /// Factor of all adapters.
    pub weight: f64,
}

impl Default for XLoraConfig {
    fn default() -> Self {
        Self {
            adapters: Vec::new(),
            depth: 1,
            width: 2048,
            dropout: 0.2,
            layerwise: false,
            softmax: true,
            temperature: 1.0,
            top_k: None,
            softmax_top_k: false,
            weight: 1.0,
        }
    }
}

impl XLoraConfig {
    /// Checks the ranges of the options.
    ///
    /// # Errors
    /// The first option that is out of range.
    pub fn check(&self) -> Result<(), ValidationError> {
        let refuse = |key: &str, expected: &str, found: String| {
            Err(ValidationError::new(format!("xlora.{key}"), format!("expected {expected}, found {found}")))
        };
        let count = self.adapters.len();
        match self {
            _ if count == 0 => refuse("adapters", "at least one name", "none".into()),
            Self { depth: 0, .. } => refuse("depth", "a number of layers above 0", "0".into()),
            Self { width: 0, .. } => refuse("width", "a width above 0", "0".into()),
            Self { dropout, .. } if !(0.0..1.0).contains(dropout) => {
                refuse("dropout", "a number of at least 0 and below 1", dropout.to_string())
            }
            Self { temperature, .. } if !(*temperature > 0.0 && temperature.is_finite()) => {
                refuse("temperature", "a finite number above 0", temperature.to_string())
            }
            Self { top_k: Some(k), .. } if !(1..=count).contains(k) => {
                refuse("top_k", &format!("1 to {count}, the number of adapters"), k.to_string())
            }
            Self { weight, .. } if !weight.is_finite() => refuse("weight", "a finite number", weight.to_string()),
            _ => Ok(()),
        }
    }
}

/// Classifier of an X-LoRA. It belongs to a model with the adapters, and to no other.
#[derive(Module, Debug)]
pub struct XLora {
    layers: Vec<Linear>,
    #[module(skip)]
    config: XLoraConfig,
    /// The sites with at least one of the adapters, in the model's order.
    #[module(skip)]
    sites: Vec<String>,
    /// Site and name of the adapters with factors.
    #[module(skip)]
    columns: Vec<(String, String)>,
    /// The index of the factor of each of these among the L · n.
    #[module(skip)]
    indices: Vec<usize>,
}

impl XLora {
    /// A new classifier for the adapters of a model, drawn from `seed`, on the model's device.
    ///
    /// # Errors
    /// If an option is out of range, or the model has no adapter of one of the names.
    pub fn new(config: &XLoraConfig, model: &Model, seed: u64) -> Result<Self, ValidationError> {
        config.check()?;
        let has = |site: &str, name: &str| {
            model.adapters().get(site).is_some_and(|adapters| adapters.iter().any(|adapter| adapter.name == name))
        };
        let all = Model::sites(model.config()).into_iter().map(|(site, _)| site);
        let sites: Vec<String> = all.filter(|site| config.adapters.iter().any(|name| has(site, name))).collect();
        if let Some(name) = config.adapters.iter().find(|name| !sites.iter().any(|site| has(site, name))) {
            let reason = format!("the model has no adapter named `{name}`");
            return Err(ValidationError::new("xlora.adapters", reason));
        }
        let cells = sites.iter().flat_map(|site| config.adapters.iter().map(move |name| (site.clone(), name.clone())));
        let (indices, columns) = cells.enumerate().filter(|(_, (site, name))| has(site, name)).unzip();
        let outputs = config.adapters.len() * if config.layerwise { sites.len() } else { 1 };
        let mut init = Initializer::new(seed, &model.device());
        let layers = (0..config.depth).map(|index| {
            let from = if index == 0 { model.config().hidden } else { config.width };
            let to = if index + 1 == config.depth { outputs } else { config.width };
            init.scope("xlora.layers", |init| Linear::new(&index.to_string(), [from, to], true, init))
        });
        let layers = layers.collect();
        Ok(Self { layers, config: config.clone(), sites, columns, indices })
    }

    /// The sites with factors, in the order of the factors.
    pub fn sites(&self) -> &[String] {
        &self.sites
    }

    /// The classifier's values of hidden states: `[B, T, M] → [B, T, L, n]`, after the softmax over all adapters, before `top_k`.
    pub fn scalings(&self, hidden: Tensor<3>, cx: &Context) -> Tensor<4> {
        let (count, [b, t, _]) = (self.config.adapters.len(), hidden.dims());
        let mut x = hidden;
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                x = cx.dropout_named(&format!("xlora.{index}"), self.config.dropout, activation::relu(x));
            }
            x = layer.forward_in(x, cx.arithmetic);
        }
        let sites = self.sites.len();
        let x = match self.config.layerwise {
            true => x.reshape([b, t, sites, count]),
            false => x.reshape([b, t, 1, count]).expand([b, t, sites, count]),
        };
        if self.config.softmax { activation::softmax(x / self.config.temperature, 3) } else { x }
    }

    /// The factors that adapters get from the classifier's values `[B, T, L, n]`.
    ///
    /// # Errors
    /// As [`Model::token_factors`].
    pub fn token_factors(&self, model: &Model, scalings: Tensor<4>) -> Result<TokenFactors, ValidationError> {
        let [b, t, sites, count] = scalings.dims();
        let used = match self.config.top_k {
            Some(k) => top_k_mask(&scalings, k),
            None => scalings.ones_like(),
        };
        let factors = if self.config.softmax_top_k {
            let unused = used.clone().equal_elem(0.0);
            let among_used = activation::softmax(scalings.mask_fill(unused.clone(), f64::NEG_INFINITY), 3);
            among_used.mask_fill(unused, 0.0)
        } else {
            scalings * used
        };
        let indices: Vec<i32> = self.indices.iter().map(|index| *index as i32).collect();
        let indices = Tensor::<1, Int>::from_ints(indices.as_slice(), &factors.device());
        let values = factors.reshape([b, t, sites * count]).select(2, indices) * self.config.weight;
        model.token_factors(values, &self.columns)
    }

    /// Both forward passes: `tokens [B, T]` to hidden states after the final norm, `[B, T, M]`, with the factors of the first pass
    /// in the second.
    ///
    /// # Errors
    /// As [`Model::token_factors`]; and if the call has a decoding state, as the first pass reads whole rows.
    pub fn forward(
        &self,
        model: &Model,
        tokens: Tensor<2, Int>,
        cx: &mut Context,
    ) -> Result<Tensor<3>, ValidationError> {
        let layout = cx.stream.tokens.layout().filter(|_| cx.state.is_none()).cloned();
        let Some(layout) = layout else {
            let reason = "X-LoRA reads whole rows twice: a call cannot continue a decoding state";
            return Err(ValidationError::new("xlora", reason));
        };
        let plain = if model.device().is_autodiff() { model.valid() } else { model.clone() };
        let base = set_enabled(&plain, false);
        let mut first = Context::new(&layout, &base.device()).with_arithmetic(cx.arithmetic);
        let ids = if model.device().is_autodiff() { tokens.clone().inner() } else { tokens.clone() };
        let hidden = base.forward(ids, &mut first);
        let hidden = if model.device().is_autodiff() { hidden.autodiff() } else { hidden };
        cx.token_factors = Some(self.token_factors(model, self.scalings(hidden, cx))?);
        Ok(model.forward(tokens, cx))
    }
}

/// 1 for the k greatest values along the last axis, 0 for the others. Of equal ones, the first.
fn top_k_mask(values: &Tensor<4>, k: usize) -> Tensor<4> {
    let [b, t, sites, count] = values.dims();
    let rows = values.clone().reshape([b * t * sites, count]);
    multi_hot(&select_top_k(rows.clone(), k), &rows).reshape([b, t, sites, count])
}
