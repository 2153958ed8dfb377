//! Which kernel computes a layer, and why. No model names a kernel: it states facts, and the plan can be printed.

/// A way to compute attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Composed from Burn's operations; forms the scores.
    Reference,
    /// Burn's own attention.
    Builtin,
    /// Kiln's for the CPU, with its own backward pass; never forms the scores.
    Fused,
}

/// What the choice depends on.
#[derive(Clone, Debug, Default)]
pub struct PlannerInput {
    /// Gradients are wanted.
    pub needs_gradients: bool,
    /// The tensors are 32-bit floats on the CPU backend, which fused kernels take.
    pub is_cpu_f32: bool,
    /// Queries of the call; 0 if not known yet.
    pub num_queries: usize,
    /// Scores are bent.
    pub has_softcap: bool,
    /// Something is added to scores by distance.
    pub has_bias: bool,
    /// The host knows who sees whom, and where they stand.
    pub tiles_known: bool,
    /// Each key is weighed for itself, not against the others.
    pub is_sigmoid: bool,
    /// Weights are dropped.
    pub has_dropout: bool,
    /// The log-sum-exp is wanted.
    pub needs_log_sum_exp: bool,
    /// The path that somebody listens to, among what only some kernels form.
    pub hooked_path: Option<String>,
    /// Tests say which kernel they want; it is taken if it can do what is wanted.
    pub forced_kernel: Option<Kernel>,
}

/// A kernel and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPlan {
    /// The kernel.
    pub kernel: Kernel,
    /// Why this one.
    pub reason: String,
}

impl Kernel {
    /// The word that pages and tests use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Builtin => "burn",
            Self::Fused => "fused",
        }
    }
}

impl PlannerInput {
    /// Nothing but softmax of the scaled products, summed up.
    fn is_plain_softmax(&self) -> bool {
        !self.has_softcap && !self.has_bias && !self.needs_log_sum_exp
    }

    /// Whether a kernel can do what is wanted.
    fn supports(&self, kernel: Kernel) -> bool {
        let softmax = !self.is_sigmoid && !self.has_dropout && self.hooked_path.is_none();
        match kernel {
            Kernel::Reference => true,
            Kernel::Builtin => softmax && self.is_plain_softmax() && !self.needs_gradients,
            Kernel::Fused => softmax && self.is_cpu_f32 && (self.tiles_known || !self.has_bias),
        }
    }
}

/// Chooses a kernel for attention.
pub fn plan_attention(facts: &PlannerInput) -> KernelPlan {
    let (kernel, reason) = match facts {
        PlannerInput { forced_kernel: Some(kernel), .. } if facts.supports(*kernel) => (*kernel, "asked for".into()),
        PlannerInput { hooked_path: Some(path), .. } => (Kernel::Reference, format!("'{path}' is listened to")),
        PlannerInput { is_sigmoid: true, .. } => (Kernel::Reference, "sigmoid: the fast kernels are softmax".into()),
        PlannerInput { has_dropout: true, .. } => (Kernel::Reference, "dropout of weights".into()),
        PlannerInput { is_cpu_f32: true, num_queries: queries, .. }
            if facts.supports(Kernel::Fused) && (*queries != 1 || !facts.is_plain_softmax()) =>
        {
            (Kernel::Fused, "32-bit floats on the CPU".into())
        }
        PlannerInput { has_softcap: true, .. } => {
            (Kernel::Reference, "softcap: the fast kernels here refuse it".into())
        }
        PlannerInput { has_bias: true, .. } => {
            (Kernel::Reference, "a bias by distance: the fast kernels here refuse it".into())
        }
        PlannerInput { needs_log_sum_exp: true, .. } => (Kernel::Reference, "the log-sum-exp is wanted".into()),
        PlannerInput { needs_gradients: true, .. } => {
            (Kernel::Reference, "gradients: Burn's own would form the scores too".into())
        }
        _ => (Kernel::Builtin, "no gradients, plain softmax".into()),
    };
    KernelPlan { kernel, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_can_do_what_is_wanted() {
        for bits in 0..512u32 {
            let fact = |n: u32| bits >> n & 1 == 1;
            for (queries, forced) in [(7, None), (1, None), (7, Some(Kernel::Builtin)), (7, Some(Kernel::Fused))] {
                let [gradients, cpu, softcap, dropout, log_sum] = [0, 1, 2, 3, 4].map(fact);
                let [bias, known, sigmoid] = [6, 7, 8].map(fact);
                let listened = fact(5).then(|| "blocks.0.attention.weights".to_string());
                let facts = PlannerInput {
                    needs_gradients: gradients,
                    is_cpu_f32: cpu,
                    num_queries: queries,
                    has_softcap: softcap,
                    has_bias: bias,
                    tiles_known: known,
                    is_sigmoid: sigmoid,
                    has_dropout: dropout,
                    needs_log_sum_exp: log_sum,
                    hooked_path: listened,
                    forced_kernel: forced,
                };
                let plan = plan_attention(&facts);
                assert!(facts.supports(plan.kernel), "{facts:?} {plan:?}");
                assert_eq!(
                    plan.reason == "asked for",
                    forced.is_some_and(|kernel| facts.supports(kernel)),
                    "{facts:?}"
                );
            }
        }
    }

    #[test]
    fn a_listener_is_named() {
        let facts = PlannerInput {
            hooked_path: Some("blocks.3.attention.weights".into()),
            is_cpu_f32: true,
            ..PlannerInput::default()
        };
        assert_eq!(plan_attention(&facts).reason, "'blocks.3.attention.weights' is listened to");
        assert_eq!(plan_attention(&facts).kernel, Kernel::Reference);
    }
}
