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
pub struct Facts {
    /// Gradients are wanted.
    pub gradients: bool,
    /// The tensors are 32-bit floats on the CPU backend, which fused kernels take.
    pub cpu: bool,
    /// Queries of the call; 0 if not known yet.
    pub queries: usize,
    /// Scores are bent.
    pub softcap: bool,
    /// Something is added to scores by distance.
    pub bias: bool,
    /// The host knows who sees whom, and where they stand.
    pub known: bool,
    /// Each key is weighed for itself, not against the others.
    pub sigmoid: bool,
    /// Weights are dropped.
    pub dropout: bool,
    /// The log-sum-exp is wanted.
    pub log_sum: bool,
    /// The path that somebody listens to, among what only some kernels form.
    pub listened: Option<String>,
    /// Tests say which kernel they want; it is taken if it can do what is wanted.
    pub forced: Option<Kernel>,
}

/// A kernel and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
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

impl Facts {
    /// Nothing but softmax of the scaled products, summed up.
    fn plain(&self) -> bool {
        !self.softcap && !self.bias && !self.log_sum
    }

    /// Whether a kernel can do what is wanted.
    fn allow(&self, kernel: Kernel) -> bool {
        let softmax = !self.sigmoid && !self.dropout && self.listened.is_none();
        match kernel {
            Kernel::Reference => true,
            Kernel::Builtin => softmax && self.plain() && !self.gradients,
            Kernel::Fused => softmax && self.cpu && (self.known || !self.bias),
        }
    }
}

/// Chooses a kernel for attention.
pub fn plan(facts: &Facts) -> Plan {
    let (kernel, reason) = match facts {
        Facts { forced: Some(kernel), .. } if facts.allow(*kernel) => (*kernel, "asked for".into()),
        Facts { listened: Some(path), .. } => (Kernel::Reference, format!("'{path}' is listened to")),
        Facts { sigmoid: true, .. } => (Kernel::Reference, "sigmoid: the fast kernels are softmax".into()),
        Facts { dropout: true, .. } => (Kernel::Reference, "dropout of weights".into()),
        Facts { cpu: true, queries, .. } if facts.allow(Kernel::Fused) && (*queries != 1 || !facts.plain()) => {
            (Kernel::Fused, "32-bit floats on the CPU".into())
        }
        Facts { softcap: true, .. } => (Kernel::Reference, "softcap: the fast kernels here refuse it".into()),
        Facts { bias: true, .. } => (Kernel::Reference, "a bias by distance: the fast kernels here refuse it".into()),
        Facts { log_sum: true, .. } => (Kernel::Reference, "the log-sum-exp is wanted".into()),
        Facts { gradients: true, .. } => (Kernel::Reference, "gradients: Burn's own would form the scores too".into()),
        _ => (Kernel::Builtin, "no gradients, plain softmax".into()),
    };
    Plan { kernel, reason }
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
                let facts = Facts {
                    gradients,
                    cpu,
                    queries,
                    softcap,
                    bias,
                    known,
                    sigmoid,
                    dropout,
                    log_sum,
                    listened,
                    forced,
                };
                let plan = plan(&facts);
                assert!(facts.allow(plan.kernel), "{facts:?} {plan:?}");
                assert_eq!(plan.reason == "asked for", forced.is_some_and(|kernel| facts.allow(kernel)), "{facts:?}");
            }
        }
    }

    #[test]
    fn a_listener_is_named() {
        let facts = Facts { listened: Some("blocks.3.attention.weights".into()), cpu: true, ..Facts::default() };
        assert_eq!(plan(&facts).reason, "'blocks.3.attention.weights' is listened to");
        assert_eq!(plan(&facts).kernel, Kernel::Reference);
    }
}
