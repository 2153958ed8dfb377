//! Configuration of adapters: the method and the layers that get one.
//!
//! To add a method: write its module in [`kiln_nn::adapter`], a file of options like `lora.rs`, then add its entry in the
//! list below and its arms in the matches.

use crate::{lora::LoraConfig, targets::select_linear_layers};
use kiln_models::ModelConfig;
use kiln_nn::adapter::{AdapterMap, AdapterSpec, AttachedAdapter};
use kiln_spec::{Card, ValidationError};

kiln_spec::choice! {
    /// Adapter (parameter-efficient fine-tuning).
    pub enum AdapterConfig {
        /// Low-rank adaptation (LoRA, 2106.09685).
        "lora" => Lora(LoraConfig) with Card::config_only("2106.09685, 2312.03732"),
    }
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self::Lora(LoraConfig::default())
    }
}

impl AdapterConfig {
    /// The configuration of existing adapters, with full layer names as patterns; `None` if there are none, or they differ
    /// in their options.
    pub fn from_adapters(adapters: &AdapterMap) -> Option<Self> {
        let mut specs = adapters.values().map(|adapter| &adapter.spec);
        let AdapterSpec::Lora(first) = specs.next()?;
        let layers = adapters.keys().cloned().collect();
        let is_uniform = specs.all(|spec| *spec == AdapterSpec::Lora(*first));
        is_uniform.then(|| Self::Lora(LoraConfig::from_spec(*first, layers)))
    }

    /// Patterns of the names of the linear layers that get an adapter.
    pub fn targets(&self) -> &[String] {
        match self {
            Self::Lora(config) => &config.target_modules,
        }
    }

    /// The adapter of each of these layers, without parameters.
    pub fn spec(&self) -> AdapterSpec {
        match self {
            Self::Lora(config) => AdapterSpec::Lora(config.spec()),
        }
    }

    /// Patterns of the names of the adapters' parameters, for `kiln_train::step::set_trainable`: `*.lora.*`.
    pub fn trainable_patterns(&self) -> Vec<String> {
        vec![format!("*.{}.*", self.name())]
    }

    /// The adapters of a model by the names of their layers, without parameters. `path` is the key of this configuration,
    /// which error paths start with.
    ///
    /// # Errors
    /// If an option is out of range, or a pattern matches no linear layer.
    pub fn build_adapters(&self, model: &ModelConfig, path: &str) -> Result<AdapterMap, ValidationError> {
        let path = format!("{path}.{}", self.name());
        let uses_dropout = match self {
            Self::Lora(config) => config.check(&path).map(|()| config.dropout > 0.0),
        }?;
        let layers = select_linear_layers(model, self.targets(), uses_dropout, &format!("{path}.target_modules"))?;
        Ok(layers.into_iter().map(|layer| (layer, AttachedAdapter { spec: self.spec(), enabled: true })).collect())
    }
}
