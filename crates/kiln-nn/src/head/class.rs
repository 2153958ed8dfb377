//! Classes of documents: one vector a document → dense → a logit a class (1810.04805).

use super::{Output, Pooling};
use crate::{
    held::Matrix,
    init::Init,
    linear::Linear,
    variant::{Around, Card, Variant, WIDEST},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Class`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ClassConfig {
    /// Number of classes.
    pub classes: usize,
    /// Which tokens speak for their document.
    pub pool: Pooling,
    /// Whether the vector first goes through tanh(x W + b), BERT's pooler.
    pub pooler: bool,
}

impl Default for ClassConfig {
    fn default() -> Self {
        Self { classes: 2, pool: Pooling::First, pooler: false }
    }
}

/// A logit a class.
#[derive(Module, Debug)]
pub struct Class {
    pooler: Option<Linear>,
    classes: Linear,
    #[module(skip)]
    pool: Pooling,
}

impl Variant for Class {
    type Config = ClassConfig;
    const CARD: Card = Card {
        refuses: "objectives that predict tokens",
        exempt: &[("learns", "it predicts no tokens")],
        ..Card::new("class", "1810.04805")
    };

    fn check(config: &ClassConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        if (2..=WIDEST).contains(&config.classes) {
            return Ok(());
        }
        let reason = format!("from 2 to {WIDEST} classes, found {}", config.classes);
        Err(Refusal::new(format!("{path}.classes"), reason).instead("classes = 2"))
    }

    fn init(config: &ClassConfig, around: &Around, init: &mut Init) -> Self {
        let m = around.hidden;
        Self {
            pooler: config.pooler.then(|| Linear::new("pooler", [m, m], true, init)),
            classes: Linear::new("classes", [m, config.classes], true, init),
            pool: config.pool,
        }
    }
}

impl Output for Class {
    fn forward(&self, hidden: Tensor<2>, _embedding: Matrix) -> Tensor<2> {
        let hidden = match &self.pooler {
            Some(pooler) => pooler.forward(hidden).tanh(),
            None => hidden,
        };
        self.classes.forward(hidden)
    }

    fn pooling(&self) -> Option<Pooling> {
        Some(self.pool)
    }
}
