//! Variants of a configuration with their paths: which member of which family is selected at which key.
//!
//! Laws use them for exemptions ([`exemption`]), and random models for the pairs of variants that they hold.
//!
//! ```
//! use kiln_laws::variant_sites::{exemption, variant_sites};
//! use kiln_models::ModelConfig;
//!
//! let sites = variant_sites(&ModelConfig::default());
//! let norms: Vec<_> = sites.iter().filter(|site| site.family.name == "norm").map(|site| site.path.as_str()).collect();
//! assert!(["embedding.norm", "norm"].iter().all(|path| norms.contains(path)));
//! assert!(norms.contains(&"blocks[0].sublayers[1].junction.pre.norm"));
//! assert_eq!(exemption(&ModelConfig::default(), "causal"), None);
//! ```

use kiln::variants::FAMILIES;
use kiln_models::ModelConfig;
use kiln_spec::{
    Card, VariantFamily,
    config::{SelectedChoice, selected_choices},
};
use schemars::{Schema, schema_for};
use std::sync::LazyLock;

/// A variant by its family and its name: `("norm", "rms")`.
pub type VariantName = (&'static str, &'static str);

/// A variant at a key of a configuration.
#[derive(Clone, Debug)]
pub struct VariantSite {
    /// Path of the key: `blocks[0].sublayers[1].junction.pre.norm`.
    pub path: String,
    /// Family of the choice at this key.
    pub family: &'static VariantFamily,
    /// Card of the selected member.
    pub card: &'static Card,
}

impl VariantSite {
    /// Family and name.
    pub fn variant(&self) -> VariantName {
        (self.family.name, self.card.name)
    }
}

/// Returns the variants of a model with their paths, parents before children.
///
/// The schema of [`ModelConfig`] tells which keys are choices, and the names of a choice's alternatives tell its
/// family. A key or text that only equals the name of a variant is not returned.
pub fn variant_sites(config: &ModelConfig) -> Vec<VariantSite> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| schema_for!(ModelConfig));
    let value = serde_json::to_value(config).expect("a configuration is plain data");
    selected_choices(&SCHEMA, &value).into_iter().filter_map(site).collect()
}

/// The site of a choice; `None` if the choice belongs to no family, as activations and poolings.
fn site(choice: SelectedChoice) -> Option<VariantSite> {
    let family = family_with_names(choice.alternatives.iter().map(String::as_str))?;
    let card = family.cards.iter().find(|card| card.name == choice.selected)?;
    Some(VariantSite { path: choice.path, family, card })
}

/// Returns the family whose members have exactly these names, in this order.
pub fn family_with_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'static VariantFamily> {
    FAMILIES.iter().find(|family| family.cards.iter().map(|card| card.name).eq(names.clone()))
}

/// Returns why a model need not keep a law: the first exemption on the card of a variant in it, with the variant's
/// path.
pub fn exemption(config: &ModelConfig, law: &str) -> Option<(String, &'static str)> {
    let exempt = |site: VariantSite| site.card.exemption(law).map(|reason| (site.path, reason));
    variant_sites(config).into_iter().find_map(exempt)
}
