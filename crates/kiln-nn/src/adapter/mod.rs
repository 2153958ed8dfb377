//! Adapters (parameter-efficient fine-tuning): few trained parameters that change what a model computes at certain sites.
//! The weights of the model stay frozen.
//!
//! An [`AdapterMap`] names sites (`blocks.7.attention.q`) and the adapters of each. The [`Initializer`] adds them while the
//! model is built, so every site of every part can have some, and no part refers to adapters. A [`Site`] is a linear map, the
//! token embedding, the stacked maps of experts, or the place of virtual tokens. Several adapters of one site add up:
//! base + Σ wᵢ · adapterᵢ.
//!
//! To add a method: a file here with its options, its hyperparameters and its module, its `mod` line and its list line below.
//! A method implements what it adds at the sites that it supports; the weight of a site is a
//! [`BaseWeight`](crate::packed_weight::BaseWeight), which multiplies without unpacking a packed weight.

mod adalora;
mod after_step;
mod call;
mod column_squares;
mod dora;
mod factor;
mod ia3;
mod lora;
mod options;
mod prompt_tuning;
mod site;
mod site_adapters;
mod vera;

pub use adalora::{AdaLora, AdaLoraConfig};
pub use after_step::{AdapterStep, AfterStep, StepProgress};
pub use call::{EmbeddingCall, LinearCall, StackedCall};
pub use dora::Dora;
pub use factor::TokenFactors;
pub use ia3::{Ia3, Ia3Config, Ia3Spec};
pub use lora::{Lora, LoraConfig, LoraInit, LoraSpec};
pub use options::AdapterOptions;
pub use prompt_tuning::{PromptInit, PromptTuning, PromptTuningConfig};
pub use site::{AdapterMap, AttachedAdapter, DEFAULT_ADAPTER, EMBEDDING_SITE, Site, SiteKind, VIRTUAL_TOKENS_SITE};
pub use site_adapters::SiteAdapters;
pub use vera::{Vera, VeraConfig, VeraSpec};

use crate::{context::AuxiliaryLoss, init::Initializer};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::{Card, ValidationError};
use std::collections::BTreeMap;

/// Adapter method: parameters at one site of a model, and what they add to the output of the site.
///
/// A method returns `None` at the sites that it doesn't support; [`SITES`](Self::SITES) lists the others.
pub trait Adapter: Module + Sized {
    /// Options in a recipe.
    type Config: AdapterOptions;

    /// Name of the method in its paper.
    const TITLE: &'static str;

    /// The kinds of sites that it can be attached to.
    const SITES: &'static [SiteKind];

    /// Patterns of the parameters that are trained, among its own; `*` matches any characters.
    const TRAINED: &'static str = "*";

    /// The parameters that the adapters of a fused layer's parts have in common, if they share one: trained as one parameter.
    const SHARED: &'static [&'static str] = &["a"];

    /// Changes its adapters after each optimizer step; `None`: only the optimizer does.
    const AFTER_STEP: Option<AfterStep<<Self::Config as AdapterOptions>::Spec>> = None;

    /// Loss of the parameters alone, over all adapters of a name, which the training loss gets added once.
    const REGULARIZATION: Option<fn(&[&Self]) -> AuxiliaryLoss> = None;

    /// Builds the parameters for a site. A new adapter should not change the output.
    fn init(spec: &<Self::Config as AdapterOptions>::Spec, site: &Site, init: &mut Initializer) -> Self;

    /// Factors of the inputs of a linear map, `[in]`, if the method scales inputs. It then adds nothing to the output.
    fn input_scale(&self) -> Option<Tensor<1>> {
        None
    }

    /// What it adds to the output of a linear map, `[…, out]`.
    fn linear<const D: usize>(&self, _call: &LinearCall<D>) -> Option<Tensor<D>> {
        None
    }

    /// What it adds to the embeddings of tokens, `[B, T, M]`.
    fn embedding(&self, _call: &EmbeddingCall) -> Option<Tensor<3>> {
        None
    }

    /// What it adds to the outputs of stacked maps, `[R, out]`.
    fn stacked(&self, _call: &StackedCall) -> Option<Tensor<2>> {
        None
    }

    /// Virtual tokens before each document, `[n, M]`.
    fn tokens(&self) -> Option<Tensor<2>> {
        None
    }

    /// What must be added to the weight of the site to give the same output without the adapter, from that weight: `[in, out]`,
    /// `[V, M]`, or `[E · in, out]` of stacked maps. `None` if no weight gives it.
    fn weight_change(&self, weight: &Tensor<2>) -> Option<Tensor<2>>;

    /// What must be added to the bias `[out]` of the site. `None`: the bias stays as it is.
    fn bias_change(&self, _bias: &Tensor<1>) -> Option<Tensor<1>> {
        None
    }

    /// Returns the floating-point operations per token.
    fn flops(&self) -> f64;
}

/// Declares the list of methods: `AdapterConfig` (options), `AdapterSpec` (hyperparameters of a site), `AnyAdapter` (modules)
/// and their dispatch.
macro_rules! adapters {
    ($(#[doc = $about:literal])* pub enum $Config:ident {
        $($(#[doc = $doc:literal])* $name:literal => $Name:ident($Type:ty) with $paper:literal),+ $(,)?
    }) => {
        kiln_spec::choice! {
            $(#[doc = $about])*
            pub enum $Config {
                $($(#[doc = $doc])* $name => $Name(<$Type as Adapter>::Config) with Card::config_only($paper)),+
            }
        }

        /// Adapter of any method, with its parameters.
        #[derive(Module, Debug)]
        #[allow(missing_docs, clippy::large_enum_variant)]
        pub enum AnyAdapter { $($Name($Type)),+ }

        /// Method and hyperparameters of an adapter.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AdapterSpec { $($(#[doc = $doc])* $Name(<<$Type as Adapter>::Config as AdapterOptions>::Spec)),+ }

        impl $Config {
            /// Checks the ranges of the options at `path`.
            ///
            /// # Errors
            /// The first key with an invalid value.
            pub fn check(&self, path: &str) -> Result<(), ValidationError> {
                match self { $(Self::$Name(config) => config.check(path)),+ }
            }

            /// Returns the patterns of the sites that get an adapter; empty for virtual tokens.
            pub fn targets(&self) -> &[String] {
                match self { $(Self::$Name(config) => config.targets()),+ }
            }

            /// As [`AdapterOptions::check_steps`].
            ///
            /// # Errors
            /// The first key with an invalid value.
            pub fn check_steps(&self, path: &str, steps: u64) -> Result<(), ValidationError> {
                match self { $(Self::$Name(config) => config.check_steps(path, steps)),+ }
            }

            /// Returns the dropout rate of the inputs.
            pub fn dropout(&self) -> f64 {
                match self { $(Self::$Name(config) => config.dropout()),+ }
            }

            /// As [`AdapterOptions::shared_a`].
            pub fn shared_a(&self) -> &[Vec<String>] {
                match self { $(Self::$Name(config) => config.shared_a()),+ }
            }

            /// As [`AdapterOptions::with_shared_a`].
            #[must_use]
            pub fn with_shared_a(self, groups: Vec<Vec<String>>) -> Self {
                match self { $(Self::$Name(config) => Self::$Name(config.with_shared_a(groups))),+ }
            }

            /// Returns the number of virtual tokens before each document.
            pub fn num_virtual_tokens(&self) -> usize {
                match self { $(Self::$Name(config) => config.num_virtual_tokens()),+ }
            }

            /// Describes method and size: `LoRA, rank 8`.
            pub fn describe(&self) -> String {
                let (title, size) = match self { $(Self::$Name(config) => (<$Type as Adapter>::TITLE, config.describe())),+ };
                if size.is_empty() { title.into() } else { format!("{title}, {size}") }
            }

            /// Returns the kinds of sites that the method can be attached to.
            pub fn sites(&self) -> &'static [SiteKind] {
                match self { $(Self::$Name(_) => <$Type as Adapter>::SITES),+ }
            }

            /// Returns the adapter of the site at `path`.
            pub fn spec(&self, path: &str) -> AdapterSpec {
                match self { $(Self::$Name(config) => AdapterSpec::$Name(config.spec(path))),+ }
            }

            /// Returns the options of existing adapters, by site; `None` if there are none, or no options give them.
            pub fn from_specs(specs: &BTreeMap<String, AdapterSpec>) -> Option<Self> {
                match specs.values().next()? {
                    $(AdapterSpec::$Name(_) => {
                        let own = specs.iter().map(|(site, spec)| match spec {
                            AdapterSpec::$Name(spec) => Some((site.clone(), spec.clone())),
                            _ => None,
                        });
                        let own = own.collect::<Option<BTreeMap<_, _>>>()?;
                        <$Type as Adapter>::Config::from_specs(&own).map(Self::$Name)
                    }),+
                }
            }

            /// Returns patterns of the names of the parameters that are trained: `*.lora.*`.
            pub fn trainable_patterns(&self) -> Vec<String> {
                let (own, saved) = match self {
                    $(Self::$Name(config) => (<$Type as Adapter>::TRAINED, config.modules_to_save())),+
                };
                // The embedding is a parameter itself; the parameters of other modules have names below theirs.
                let saved = saved.iter().map(|module| match module.as_str() {
                    EMBEDDING_SITE => module.clone(),
                    module => format!("{module}.*"),
                });
                [format!("*.{}.{own}", self.name())].into_iter().chain(saved).collect()
            }
        }

        impl AdapterSpec {
            /// Returns the method's name, part of its parameters' paths: `blocks.7.attention.q.lora.a`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Name(_) => $name),+ }
            }

            /// As [`Adapter::SHARED`].
            pub fn shared(&self) -> &'static [&'static str] {
                match self { $(Self::$Name(_) => <$Type as Adapter>::SHARED),+ }
            }

            /// Whether the method changes its adapters after an optimizer step.
            pub fn acts_after_step(&self) -> bool {
                match self { $(Self::$Name(_) => <$Type as Adapter>::AFTER_STEP.is_some()),+ }
            }

            /// Whether the method adds a loss of its parameters.
            pub fn has_regularization(&self) -> bool {
                match self { $(Self::$Name(_) => <$Type as Adapter>::REGULARIZATION.is_some()),+ }
            }

            /// Changes adapters of one name after an optimizer step: those of each method together.
            pub fn after_step(adapters: &mut [(&Self, &mut AdapterStep)], progress: StepProgress) {
                $(if let Some(after_step) = <$Type as Adapter>::AFTER_STEP {
                    let own = adapters.iter_mut().filter_map(|(spec, step)| match spec {
                        Self::$Name(spec) => Some((spec, &mut **step)),
                        _ => None,
                    });
                    after_step(&mut own.collect::<Vec<_>>(), progress);
                })+
            }

            /// Builds the adapter of a site, with parameters at the path of `init`.
            pub fn init(&self, site: &Site, init: &mut Initializer) -> AnyAdapter {
                match self { $(Self::$Name(spec) => AnyAdapter::$Name(Adapter::init(spec, site, init))),+ }
            }
        }

        impl AnyAdapter {
            /// Returns the name of the method of a variant of this enum: of `Lora`, `lora`.
            pub fn method_of_variant(variant: &str) -> Option<&'static str> {
                match variant {
                    $(stringify!($Name) => Some($name),)+
                    _ => None,
                }
            }

            /// As [`Adapter::input_scale`].
            pub fn input_scale(&self) -> Option<Tensor<1>> {
                match self { $(Self::$Name(adapter) => adapter.input_scale()),+ }
            }

            /// As [`Adapter::linear`].
            pub fn linear<const D: usize>(&self, call: &LinearCall<D>) -> Option<Tensor<D>> {
                match self { $(Self::$Name(adapter) => adapter.linear(call)),+ }
            }

            /// As [`Adapter::embedding`].
            pub fn embedding(&self, call: &EmbeddingCall) -> Option<Tensor<3>> {
                match self { $(Self::$Name(adapter) => adapter.embedding(call)),+ }
            }

            /// As [`Adapter::stacked`].
            pub fn stacked(&self, call: &StackedCall) -> Option<Tensor<2>> {
                match self { $(Self::$Name(adapter) => adapter.stacked(call)),+ }
            }

            /// As [`Adapter::tokens`].
            pub fn tokens(&self) -> Option<Tensor<2>> {
                match self { $(Self::$Name(adapter) => adapter.tokens()),+ }
            }

            /// Number of virtual tokens.
            pub fn num_tokens(&self) -> usize {
                self.tokens().map_or(0, |tokens| tokens.dims()[0])
            }

            /// As [`Adapter::weight_change`].
            pub fn weight_change(&self, weight: &Tensor<2>) -> Option<Tensor<2>> {
                match self { $(Self::$Name(adapter) => adapter.weight_change(weight)),+ }
            }

            /// As [`Adapter::bias_change`].
            pub fn bias_change(&self, bias: &Tensor<1>) -> Option<Tensor<1>> {
                match self { $(Self::$Name(adapter) => adapter.bias_change(bias)),+ }
            }

            /// Losses of the parameters of adapters of one name, one for each method that has such a loss.
            pub fn regularization(adapters: &[Self]) -> Vec<AuxiliaryLoss> {
                let mut losses = Vec::new();
                $(if let Some(loss) = <$Type as Adapter>::REGULARIZATION {
                    let own = adapters.iter().filter_map(|adapter| match adapter {
                        Self::$Name(adapter) => Some(adapter),
                        _ => None,
                    });
                    let own: Vec<&$Type> = own.collect();
                    losses.extend((!own.is_empty()).then(|| loss(&own)));
                })+
                losses
            }

            /// As [`Adapter::flops`].
            pub fn flops(&self) -> f64 {
                match self { $(Self::$Name(adapter) => adapter.flops()),+ }
            }
        }
    };
}

adapters! {
    /// Adapter (parameter-efficient fine-tuning).
    pub enum AdapterConfig {
        /// Low-rank adaptation (LoRA, 2106.09685).
        "lora" => Lora(Lora) with "2106.09685, 2312.03732",
        /// Weight-decomposed low-rank adaptation (DoRA, 2402.09353).
        "dora" => Dora(Dora) with "2402.09353",
        /// Activations multiplied by a learned vector ((IA)³, 2205.05638).
        "ia3" => Ia3(Ia3) with "2205.05638",
        /// Trained virtual tokens in front of each document (prompt tuning, 2104.08691).
        "prompt_tuning" => PromptTuning(PromptTuning) with "2104.08691",
        /// Vector-based random matrix adaptation (VeRA, 2310.11454).
        "vera" => Vera(Vera) with "2310.11454",
        /// Low-rank adaptation with ranks by importance (AdaLoRA, 2303.10512).
        "adalora" => AdaLora(AdaLora) with "2303.10512",
    }
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self::Lora(LoraConfig::default())
    }
}
