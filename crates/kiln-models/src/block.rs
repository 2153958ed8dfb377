//! A block: sublayers, each some parts under a junction, under a depth rule.

use crate::{
    config::{BlockConfig, SublayerConfig},
    stack::is_cross_attention,
};
use burn::{module::Module, tensor::Tensor};
use kiln_nn::{
    BuildContext, Context, Initializer, autograd_order::ReaderChain, depth::Depth, junction::Junction, part::Part,
};

/// Parts under one junction.
#[derive(Module, Debug)]
pub struct Sublayer {
    junction: Junction,
    parts: Vec<Part>,
    #[module(skip)]
    roles: Vec<String>,
}

/// Sublayers one after the other.
#[derive(Module, Debug)]
pub struct Block {
    depth: Depth,
    sublayers: Vec<Sublayer>,
}

impl Block {
    /// Makes the block.
    pub fn init(config: &BlockConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let roles = assign_roles(&config.sublayers);
        let depth = init.scope("depth", |init| config.depth.init(around, init));
        let sublayers = config.sublayers.iter().zip(roles).map(|(s, roles)| Sublayer::init(s, roles, around, init));
        Self { depth, sublayers: sublayers.collect() }
    }

    /// `[B, T, M] → [B, T, M]`.
    pub fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        self.depth.forward(x, cx, &mut |x, cx| self.sublayers.iter().fold(x, |x, sublayer| sublayer.forward(x, cx)))
    }

    /// Every part with its role.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.sublayers.iter().flat_map(|s| s.roles.iter().map(String::as_str).zip(&s.parts))
    }

    /// Roles of the parts, by sublayer.
    pub(crate) fn roles(&self) -> Vec<&[String]> {
        self.sublayers.iter().map(|s| s.roles.as_slice()).collect()
    }
}

impl Sublayer {
    fn init(config: &SublayerConfig, roles: Vec<String>, around: &BuildContext, init: &mut Initializer) -> Self {
        let junction = init.scope(format!("{}_norm", roles[0]), |init| config.junction.init(around, init));
        let part =
            |(part, role): (&kiln_nn::part::PartConfig, &String)| init.scope(role, |init| part.init(around, init));
        let parts = config.parts.iter().zip(&roles).map(part).collect();
        Self { junction, parts, roles }
    }

    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        self.junction.forward(x, cx, &mut |x, cx| {
            let mut readers = ReaderChain::new(x.clone());
            let outs = self.parts.iter().zip(&self.roles).enumerate().map(|(i, (part, role))| {
                let input = readers.next_reader(i + 1 == self.parts.len());
                cx.scope(role, |cx| {
                    let out = part.forward(input, cx);
                    cx.probe_value("out", out)
                })
            });
            outs.reduce(|a, b| a + b).unwrap_or(x)
        })
    }
}

/// A name for each part, by its place: `attention`, `cross_attention`, `feed_forward`, and `attention_2` for the second
/// of a kind.
fn assign_roles(sublayers: &[SublayerConfig]) -> Vec<Vec<String>> {
    let mut seen = std::collections::HashMap::<&str, usize>::new();
    let mut name = |role: &'static str| {
        let count = seen.entry(role).or_default();
        *count += 1;
        if *count == 1 { role.to_string() } else { format!("{role}_{count}") }
    };
    sublayers
        .iter()
        .map(|s| {
            s.parts
                .iter()
                .map(|p| name(if is_cross_attention(p) { "cross_attention" } else { p.card().role }))
                .collect()
        })
        .collect()
}
