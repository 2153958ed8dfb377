//! Transformer block: sublayers in sequence, each one or several parts under a junction, all under a depth rule.
//!
//! A sublayer with parts f₁ … fₖ computes x + Σ fᵢ(norm(x)) for a pre-norm junction; k > 1 is a parallel block (GPT-J,
//! PaLM: 2204.02311, section 2), x + Σ fᵢ(normᵢ(x)) with a norm for each part (GPT-NeoX: 2204.06745). The stack's residual
//! streams decide about the residual connection, the junction places the norms, the depth rule decides which tokens the block
//! runs for.

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
    streams::{ResidualStreams, ResidualStreamsConfig},
};
use std::collections::HashMap;

/// Parts that read the same input under one junction; their outputs are added in order.
#[derive(Module, Debug)]
pub struct Sublayer {
    /// Residual connection.
    streams: ResidualStreams,
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
    /// Builds the block of a stack with these residual streams; weights are drawn or left empty as `init` says. The depth rule
    /// sees the streams as one of their common width.
    pub fn init(
        config: &BlockConfig,
        streams: &ResidualStreamsConfig,
        context: &BuildContext,
        init: &mut Initializer,
    ) -> Self {
        let roles = assign_roles(&config.sublayers);
        let all_streams = BuildContext { hidden: streams.count() * context.hidden, ..*context };
        let depth = init.scope("depth", |init| config.depth.init(&all_streams, init));
        let sublayers = config.sublayers.iter().zip(roles);
        let sublayers =
            sublayers.map(|(sublayer, roles)| Sublayer::init(sublayer, roles, streams, context, init)).collect();
        Self { depth, sublayers }
    }

    /// Forward pass, `[B, T, n·M] → [B, T, n·M]` with n residual streams, residual connections included.
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
    fn init(
        config: &SublayerConfig,
        roles: Vec<String>,
        streams: &ResidualStreamsConfig,
        context: &BuildContext,
        init: &mut Initializer,
    ) -> Self {
        // The residual connection and the norm of a junction are named after the first part.
        let streams = init.scope(format!("{}_streams", roles[0]), |init| streams.init(context, init));
        init.sublayer += 1;
        let junction = init.scope(format!("{}_norm", roles[0]), |init| config.junction.init(context, init));
        let norms = config.part_norm.iter().flat_map(|norm| roles.iter().map(move |role| (norm, role)));
        let part_norms =
            norms.map(|(norm, role)| init.scope(format!("{role}_norm"), |init| norm.init(context, init))).collect();
        let parts = config.parts.iter().zip(&roles);
        let parts = parts.map(|(part, role)| init.scope(role, |init| part.init(context, init))).collect();
        Self { streams, junction, part_norms, parts, roles }
    }

    /// Forward pass with residual connection, `[B, T, n·M] → [B, T, n·M]`.
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let mut parts = |x: Tensor<3>, cx: &mut Context| self.forward_parts(x, cx);
        let y = self.streams.forward(x, cx, &mut |x, cx| self.junction.branch(x, cx, &mut parts));
        self.junction.after(y)
    }

    /// Sum of the parts' outputs from first to last, `[B, T, M] → [B, T, M]`.
    fn forward_parts(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
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
    }
}

/// A role for each part, by sublayer: `attention`, `cross_attention`, `feed_forward`; `attention_2` for the second part
/// with the role in the block. Roles are unique in a block, so that parameter names are.
pub(crate) fn assign_roles(sublayers: &[SublayerConfig]) -> Vec<Vec<String>> {
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
