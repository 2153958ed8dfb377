//! Transformer block: sublayers in sequence, each one or several parts under a junction, all under a depth rule.
//!
//! A sublayer with parts f₁ … fₖ computes x + Σ fᵢ(norm(x)) for a pre-norm junction; k > 1 is a parallel block (GPT-J,
//! PaLM: 2204.02311, section 2), x + Σ fᵢ(normᵢ(x)) with a norm for each part (GPT-NeoX: 2204.06745). The junction owns the residual connection and the norm, the depth rule decides which
//! tokens the block runs for.

use crate::{
    config::{BlockConfig, SublayerConfig},
    stack::is_cross_attention,
};
use burn::{module::Module, tensor::Tensor};
use kiln_nn::{
    BuildContext, Context, Initializer,
    autograd_order::ReaderChain,
    depth::Depth,
    junction::Junction,
    norm::Norm,
    part::{Part, PartConfig},
};
use std::collections::HashMap;

/// Parts that read the same input under one junction; their outputs are added in order.
#[derive(Module, Debug)]
pub struct Sublayer {
    junction: Junction,
    /// Norm of each part's input; empty if the parts share the junction's.
    part_norms: Vec<Norm>,
    parts: Vec<Part>,
    /// Role of each part, which parameter names are made from: `attention`, `feed_forward`.
    #[module(skip)]
    roles: Vec<String>,
}

/// Transformer block: sublayers in sequence under a depth rule.
#[derive(Module, Debug)]
pub struct Block {
    depth: Depth,
    sublayers: Vec<Sublayer>,
}

impl Block {
    /// Builds the block; weights are drawn or left empty as `init` says.
    pub fn init(config: &BlockConfig, context: &BuildContext, init: &mut Initializer) -> Self {
        let roles = assign_roles(&config.sublayers);
        let depth = init.scope("depth", |init| config.depth.init(context, init));
        let sublayers = config.sublayers.iter().zip(roles);
        let sublayers = sublayers.map(|(sublayer, roles)| Sublayer::init(sublayer, roles, context, init)).collect();
        Self { depth, sublayers }
    }

    /// Forward pass, `[B, T, M] → [B, T, M]`, residual connections included.
    pub fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        self.depth.forward(x, cx, &mut |x, cx| self.sublayers.iter().fold(x, |x, sublayer| sublayer.forward(x, cx)))
    }

    /// The parts with their roles, in order of execution.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.sublayers.iter().flat_map(|sublayer| sublayer.roles.iter().map(String::as_str).zip(&sublayer.parts))
    }

    /// Roles of the parts, by sublayer.
    pub(crate) fn roles(&self) -> Vec<&[String]> {
        self.sublayers.iter().map(|sublayer| sublayer.roles.as_slice()).collect()
    }
}

impl Sublayer {
    /// Builds junction and parts. `roles` has one role for each part.
    fn init(config: &SublayerConfig, roles: Vec<String>, context: &BuildContext, init: &mut Initializer) -> Self {
        // The norm of a junction is named after the first part.
        let junction = init.scope(format!("{}_norm", roles[0]), |init| config.junction.init(context, init));
        let norms = config.part_norm.iter().flat_map(|norm| roles.iter().map(move |role| (norm, role)));
        let part_norms =
            norms.map(|(norm, role)| init.scope(format!("{role}_norm"), |init| norm.init(context, init))).collect();
        let parts = config.parts.iter().zip(&roles);
        let parts = parts.map(|(part, role)| init.scope(role, |init| part.init(context, init))).collect();
        Self { junction, part_norms, parts, roles }
    }

    /// Forward pass with residual connection, `[B, T, M] → [B, T, M]`. The parts' outputs are added from first to last.
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        self.junction.forward(x, cx, &mut |x, cx| {
            // Fixes the order in which the parts' gradients of x are added.
            let mut readers = ReaderChain::new(x.clone());
            let outputs = self.parts.iter().zip(&self.roles).enumerate().map(|(i, (part, role))| {
                let input = readers.next_reader(i + 1 == self.parts.len());
                let input = match self.part_norms.get(i) {
                    Some(norm) => norm.forward(input),
                    None => input,
                };
                cx.scope(role, |cx| {
                    let output = part.forward(input, cx);
                    cx.probe_value("out", output)
                })
            });
            outputs.reduce(|sum, output| sum + output).unwrap_or(x)
        })
    }
}

/// A role for each part, by sublayer: `attention`, `cross_attention`, `feed_forward`; `attention_2` for the second part
/// with the role in the block. Roles are unique in a block, so that parameter names are.
fn assign_roles(sublayers: &[SublayerConfig]) -> Vec<Vec<String>> {
    let mut counts = HashMap::new();
    sublayers.iter().map(|sublayer| sublayer.parts.iter().map(|part| next_role(part, &mut counts)).collect()).collect()
}

/// The role of the next part, given how many parts of the block have each role so far.
fn next_role(part: &PartConfig, counts: &mut HashMap<&'static str, usize>) -> String {
    let role = if is_cross_attention(part) { "cross_attention" } else { part.card().role };
    let count = counts.entry(role).or_default();
    *count += 1;
    if *count == 1 { role.to_owned() } else { format!("{role}_{count}") }
}
