//! Which adapters a model gets.
//!
//! To add a method: its module in `kiln_nn::adapter`, a file of options like `lora.rs`, its list line and arms here.

use crate::{lora::LoraConfig, targets::chosen};
use kiln_models::ModelConfig;
use kiln_nn::adapter::{Adapters, Beside, Method};
use kiln_spec::{Card, Refusal};

kiln_spec::choice! {
    /// What stands beside the linear maps of a model and trains instead of them.
    pub enum AdapterConfig {
        /// A product of two narrow matrices is added to a map (2106.09685).
        "lora" => Lora(LoraConfig) with Card::data("2106.09685, 2312.03732"),
    }
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self::Lora(LoraConfig::default())
    }
}

impl AdapterConfig {
    /// What makes these adapters, if it makes all of them alike.
    pub fn of(adapters: &Adapters) -> Option<Self> {
        let mut all = adapters.values().map(|beside| &beside.method);
        let Method::Lora(shape) = all.next()?;
        let targets = adapters.keys().cloned().collect();
        all.all(|other| *other == Method::Lora(*shape)).then(|| Self::Lora(LoraConfig::of(*shape, targets)))
    }

    /// Patterns of the names of the maps that get one.
    pub fn targets(&self) -> &[String] {
        match self {
            Self::Lora(config) => &config.targets,
        }
    }

    /// What stands beside each of those maps.
    pub fn method(&self) -> Method {
        match self {
            Self::Lora(config) => Method::Lora(config.shape()),
        }
    }

    /// Patterns of the names of the parameters that it adds: what trains.
    pub fn trains(&self) -> Vec<String> {
        vec![format!("*.{}.*", self.name())]
    }

    /// The adapters of a model, or a refusal: what can't be, or a pattern that fits no linear map.
    ///
    /// # Errors
    /// The first thing that can't be, with its path.
    pub fn select(&self, model: &ModelConfig, path: &str) -> Result<Adapters, Refusal> {
        let path = format!("{path}.{}", self.name());
        let draws = match self {
            Self::Lora(config) => config.check(&path).map(|()| config.dropout > 0.0),
        }?;
        let names = chosen(model, self.targets(), draws, &format!("{path}.targets"))?;
        Ok(names.into_iter().map(|name| (name, Beside { method: self.method(), on: true })).collect())
    }
}
