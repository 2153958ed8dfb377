//! Which adapters a model gets.
//!
//! To add a method: its module in `kiln_nn::adapter`, a file of options like `lora.rs`, its list line and arms here.

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
    /// What makes these adapters, if it makes all of them alike.
    pub fn from_adapters(adapters: &AdapterMap) -> Option<Self> {
        let mut all = adapters.values().map(|beside| &beside.spec);
        let AdapterSpec::Lora(shape) = all.next()?;
        let targets = adapters.keys().cloned().collect();
        all.all(|other| *other == AdapterSpec::Lora(*shape)).then(|| Self::Lora(LoraConfig::from_spec(*shape, targets)))
    }

    /// Patterns of the names of the maps that get one.
    pub fn targets(&self) -> &[String] {
        match self {
            Self::Lora(config) => &config.target_modules,
        }
    }

    /// What stands beside each of those maps.
    pub fn spec(&self) -> AdapterSpec {
        match self {
            Self::Lora(config) => AdapterSpec::Lora(config.spec()),
        }
    }

    /// Patterns of the names of the parameters that it adds: what trains.
    pub fn trainable_patterns(&self) -> Vec<String> {
        vec![format!("*.{}.*", self.name())]
    }

    /// The adapters of a model, or a refusal: what can't be, or a pattern that fits no linear map.
    ///
    /// # Errors
    /// The first thing that can't be, with its path.
    pub fn build_adapters(&self, model: &ModelConfig, path: &str) -> Result<AdapterMap, ValidationError> {
        let path = format!("{path}.{}", self.name());
        let draws = match self {
            Self::Lora(config) => config.check(&path).map(|()| config.dropout > 0.0),
        }?;
        let names = select_linear_layers(model, self.targets(), draws, &format!("{path}.target_modules"))?;
        Ok(names.into_iter().map(|name| (name, AttachedAdapter { spec: self.spec(), enabled: true })).collect())
    }
}
