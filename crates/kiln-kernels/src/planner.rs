//! Planner of attention kernels: which kernel computes a layer, and the reason for it.
//!
//! No model names a kernel. A layer states facts ([`PlannerInput`]), [`plan_attention`] returns a kernel that supports them
//! and a sentence that `kiln inspect` prints. The rules, the first that applies:
//!
//! 1. a forced kernel, if it supports the call (tests);
//! 2. what only the reference forms: weights that a probe reads, dropout of weights, and score functions and biases that do not
//!    work in a tile, as their cards say;
//! 3. [`Kernel::Exact`] in batch-invariant arithmetic;
//! 4. [`Kernel::Paged`] for one query a row whose keys are in pages: decoding on the CPU, with a softmax;
//! 5. [`Kernel::Fused`] for 32-bit floats on the CPU, except for one query of a plain softmax: there a head
//!    has a single row of scores, so the fused kernel would save no memory;
//! 6. the reference for other score functions than the softmax, softcap, score bias, log-sum-exp and gradients, which Burn's
//!    own attention lacks;
//! 7. [`Kernel::Builtin`].

use crate::exact::Arithmetic;

/// Attention kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Composed of Burn's operations, on every device: [`attention::reference`](crate::attention::reference). Forms the
    /// scores `[B, H, T, S]`.
    Reference,
    /// Burn's own attention: [`attention::burn_attention`](crate::attention::burn_attention). Inference only.
    Builtin,
    /// Kiln's kernel for the CPU, with its own backward pass: [`attention::fused`](crate::attention::fused). Memory is
    /// linear in the sequence length.
    Fused,
    /// Kiln's batch-invariant kernel for the CPU: [`attention::exact`](crate::attention::exact). Inference only.
    Exact,
    /// Kiln's kernel for one query a row over cached pages, on the CPU: [`attention::paged`](crate::attention::paged).
    Paged,
}

/// Facts that the choice of an attention kernel depends on. The default is a plain softmax without gradients.
#[derive(Clone, Debug, Default)]
pub struct PlannerInput {
    /// Whether the call is differentiated.
    pub needs_gradients: bool,
    /// Whether the tensors are 32-bit floats on the CPU backend; see [`is_cpu_f32`](crate::cpu::is_cpu_f32).
    pub is_cpu_f32: bool,
    /// Arithmetic of the call.
    pub arithmetic: Arithmetic,
    /// Number of queries T; 0 if it isn't known yet.
    pub num_queries: usize,
    /// Whether keys and values are in pages in host memory, and the host knows which of them each query sees.
    pub keys_in_pages: bool,
    /// Whether scores are soft-capped, s → c · tanh(s / c).
    pub has_softcap: bool,
    /// Whether a bias is added to the scores (ALiBi, T5).
    pub has_bias: bool,
    /// Whether the host knows the visible keys and the positions, so that a tile plan can be made.
    pub tiles_known: bool,
    /// Whether the weights are no softmax of the scores, such as sigmoids.
    pub is_not_softmax: bool,
    /// Why only the reference computes the call: the score function or the bias that does not work in a tile.
    pub reference_only: Option<String>,
    /// Whether attention weights are dropped (training).
    pub has_dropout: bool,
    /// Whether the log-sum-exp is needed: for a sink, or to merge outputs over two sets of keys.
    pub needs_log_sum_exp: bool,
    /// Path of the attention weights, if a probe reads them: `blocks.3.attention.weights`.
    pub hooked_path: Option<String>,
    /// Kernel that the caller forces. It is ignored if it doesn't support the call.
    pub forced_kernel: Option<Kernel>,
}

/// Planned kernel and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPlan {
    /// The kernel.
    pub kernel: Kernel,
    /// Why this kernel, as pages print it: `32-bit floats on the CPU`.
    pub reason: String,
}

impl Kernel {
    /// Returns the name in listings, pages and tests: `reference`, `burn`, `fused`, `exact` or `paged`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Builtin => "burn",
            Self::Fused => "fused",
            Self::Exact => "exact",
            Self::Paged => "paged",
        }
    }
}

impl PlannerInput {
    /// Whether the call is a softmax of scaled products and nothing else.
    fn is_plain_softmax(&self) -> bool {
        !self.has_softcap && !self.has_bias && !self.needs_log_sum_exp && !self.is_not_softmax
    }

    /// Whether a kernel can compute the call.
    fn supports(&self, kernel: Kernel) -> bool {
        let has_kernel = self.reference_only.is_none() && !self.has_dropout && self.hooked_path.is_none();
        match kernel {
            Kernel::Reference => true,
            Kernel::Builtin => has_kernel && self.is_plain_softmax() && !self.needs_gradients,
            Kernel::Fused => has_kernel && self.is_cpu_f32 && (self.tiles_known || !self.has_bias),
            Kernel::Exact => has_kernel && self.is_cpu_f32 && !self.needs_gradients,
            Kernel::Paged => {
                let decodes = self.keys_in_pages && self.num_queries == 1 && !self.needs_gradients;
                has_kernel && self.is_cpu_f32 && decodes
            }
        }
    }
}

/// Chooses a kernel for attention. The kernel supports every input: [`Kernel::Reference`] always does.
pub fn plan_attention(facts: &PlannerInput) -> KernelPlan {
    let (kernel, reason) = match facts {
        PlannerInput { forced_kernel: Some(kernel), .. } if facts.supports(*kernel) => {
            (*kernel, "the caller forces this kernel".into())
        }
        PlannerInput { hooked_path: Some(path), .. } => (Kernel::Reference, format!("a probe reads `{path}`")),
        PlannerInput { reference_only: Some(reason), .. } => (Kernel::Reference, reason.clone()),
        PlannerInput { arithmetic: Arithmetic::Exact, .. } if facts.supports(Kernel::Exact) => {
            (Kernel::Exact, "batch-invariant arithmetic".into())
        }
        PlannerInput { has_dropout: true, .. } => (Kernel::Reference, "dropout of attention weights".into()),
        _ if facts.supports(Kernel::Paged) => (Kernel::Paged, "one query a row, keys in pages".into()),
        PlannerInput { is_cpu_f32: true, num_queries: queries, .. }
            if facts.supports(Kernel::Fused) && (*queries != 1 || !facts.is_plain_softmax()) =>
        {
            (Kernel::Fused, "32-bit floats on the CPU".into())
        }
        PlannerInput { is_not_softmax: true, .. } => {
            (Kernel::Reference, "a score function other than the softmax: no fast kernel here supports it".into())
        }
        PlannerInput { has_softcap: true, .. } => {
            (Kernel::Reference, "softcap: no fast kernel here supports it".into())
        }
        PlannerInput { has_bias: true, .. } => {
            (Kernel::Reference, "score bias: no fast kernel here supports it".into())
        }
        PlannerInput { needs_log_sum_exp: true, .. } => (Kernel::Reference, "the log-sum-exp is needed".into()),
        PlannerInput { needs_gradients: true, .. } => {
            (Kernel::Reference, "gradients: Burn's own attention would form the scores too".into())
        }
        _ => (Kernel::Builtin, "plain softmax without gradients".into()),
    };
    KernelPlan { kernel, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planned_kernel_supports_the_call() {
        for bits in 0..4096u32 {
            let fact = |bit: u32| bits >> bit & 1 == 1;
            for (queries, forced) in
                [(7, None), (1, None), (7, Some(Kernel::Builtin)), (7, Some(Kernel::Fused)), (1, Some(Kernel::Paged))]
            {
                let [gradients, cpu, softcap, dropout, log_sum] = [0, 1, 2, 3, 4].map(fact);
                let [bias, known, sigmoid, reference] = [6, 7, 8, 9].map(fact);
                let [paged, exact] = [10, 11].map(fact);
                let hooked = fact(5).then(|| "blocks.0.attention.weights".to_string());
                let facts = PlannerInput {
                    needs_gradients: gradients,
                    is_cpu_f32: cpu,
                    arithmetic: if exact { Arithmetic::Exact } else { Arithmetic::Fast },
                    num_queries: queries,
                    keys_in_pages: paged,
                    has_softcap: softcap,
                    has_bias: bias,
                    tiles_known: known,
                    is_not_softmax: sigmoid,
                    reference_only: reference.then(|| "a content bias".to_string()),
                    has_dropout: dropout,
                    needs_log_sum_exp: log_sum,
                    hooked_path: hooked,
                    forced_kernel: forced,
                };
                let plan = plan_attention(&facts);
                let is_possible = forced.is_none() && facts.supports(Kernel::Exact);
                assert!(!exact || !is_possible || plan.kernel == Kernel::Exact, "{facts:?}");
                assert!(facts.supports(plan.kernel), "{facts:?} {plan:?}");
                assert_eq!(
                    plan.reason == "the caller forces this kernel",
                    forced.is_some_and(|kernel| facts.supports(kernel)),
                    "{facts:?}"
                );
            }
        }
    }

    #[test]
    fn the_reason_names_the_hooked_path() {
        let facts = PlannerInput {
            hooked_path: Some("blocks.3.attention.weights".into()),
            is_cpu_f32: true,
            ..PlannerInput::default()
        };
        assert_eq!(plan_attention(&facts).reason, "a probe reads `blocks.3.attention.weights`");
        assert_eq!(plan_attention(&facts).kernel, Kernel::Reference);
    }
}
