//! Kernels of language models: one folder an operation, each with a composed reference, and the planner that picks one.
//!
//! In the order of data flow through a model:
//!
//! | operation | formula | source |
//! |---|---|---|
//! | [`packed`] | x Wᵀ with W quantized in GGUF blocks | ggml |
//! | [`rms_norm`] | x / √(mean(x²) + ε) ⊙ w | 1910.07467 |
//! | [`layer_norm`] | (x − mean(x)) / √(var(x) + ε) ⊙ w + b | 1607.06450 |
//! | [`dynamic_tanh`] | w ⊙ tanh(α x) + b | 2503.10622 |
//! | [`rotary`] | pairs of dimensions rotated by position · frequency | 2104.09864 |
//! | [`attention`] | softmax(scale · q kᵀ + bias) v, masked | 1706.03762, 2205.14135 |
//! | [`short_convolution`] | a filter over the last W tokens, one for each channel | 2405.21060 |
//! | [`log_sigmoid`] | ln σ(x) | |
//! | [`scan`] | S ← diag(exp g) S + kᵀ v, o = q S; the delta rule | 2312.06635, 2405.21060, 2412.06464 |
//! | [`silu_gate`] | silu(gate) ⊙ up | 2002.05202 |
//! | [`gated_linear`] | (silu(gate) ⊙ up) W | 2002.05202 |
//! | [`gated_rms_norm`] | RMSNorm of x ⊙ silu(gate), in parts | 2405.21060 |
//! | [`gelu`] | (x + b) Φ(x + b), exact or by tanh | 1606.08415 |
//! | [`dropout`] | x ⊙ mask / (1 − p), the mask a function of key and index | 1207.0580 |
//! | [`grouped_linear`] | each row times the matrix of its expert | 2101.03961 |
//! | [`cross_entropy`] | −log softmax(logits)\[target\] | |
//! | [`linear_cross_entropy`] | the same with logits = h W, which are never whole | 2411.09009 |
//! | [`adamw`] | one optimizer update | 1711.05101 |
//! | [`exact`] | products whose sums have one order for any number of rows | |
//! | [`recompute`] | an operation that runs its part again in the backward pass | 1604.06174 |
//!
//! **Reference and fused.** A `reference` is composed of Burn's operations. It runs on every backend, is differentiated by
//! Burn, and is the oracle of the tests. A `fused` kernel works on 32-bit floats of Burn's CPU backend (flex) and has its
//! own backward pass. The function of each module picks the fused kernel where [`cpu::is_cpu_f32`] holds, otherwise the
//! reference. Attention has more than two kernels, so [`planner`] picks one and states the reason.
//!
//! **Determinism.** Every sum has a fixed order that depends on shapes alone: sixteen lanes within a row ([`cpu::vector`]),
//! blocks of fixed size across rows ([`cpu::tensor`]), one task for each matrix that several terms are added to. Threads
//! take whole tasks. The same machine and binary therefore give the same bits for any number of threads
//! (tests: `threads_change_no_bit`).
//!
//! **Batch-invariant arithmetic.** The order of a sum in the kernels above may depend on the shapes of the call, so a token has
//! other bits in a prompt than alone. [`exact`] has the products, [`attention::exact`] and [`scan::exact`] the other kernels whose
//! order depends on positions and on the weights alone.
//!
//! **Accuracy.** Each module states its bound against the reference; the property tests in `tests/integration` check it
//! for values and gradients over random shapes and strides.
//!
//! # Example
//!
//! The planner picks a kernel for causal attention over two tokens, and the fused kernel equals the reference.
//!
//! ```
//! use burn::tensor::{Bool, Device, Tensor};
//! use kiln_kernels::attention::{AttentionCall, BlockMask, DenseMask, Softmax, attend};
//! use kiln_kernels::planner::{Kernel, PlannerInput, plan_attention};
//! use kiln_kernels::{rms_norm::rms_norm, testing::assert_close};
//!
//! let device = Device::flex();
//! // One sequence of two tokens, width 4, normalized: [B, T, M] = [1, 2, 4].
//! let x = Tensor::<3>::from_floats([[[1.0, 2.0, 3.0, 4.0], [0.5, 0.0, -0.5, 1.0]]], &device);
//! let x = rms_norm(x, Tensor::ones([4], &device), 1e-6);
//! // One head that attends to itself: [B, H, T, D] = [1, 1, 2, 4].
//! let heads = x.reshape([1, 1, 2, 4]);
//! // true = hidden: the first token must not see the second.
//! let mask = Tensor::<4, Bool>::from_data([[[[false, true], [false, false]]]], &device);
//! let call = AttentionCall {
//!     query: heads.clone(),
//!     key: heads.clone(),
//!     value: heads,
//!     block_mask: BlockMask::from_dense(DenseMask { mask, has_visible_key: None }),
//!     bias: None,
//!     scale: 0.5, // 1/√D
//!     score: std::sync::Arc::new(Softmax::default()),
//!     dropout: None,
//!     needs_log_sum_exp: false,
//! };
//!
//! let plan = plan_attention(&PlannerInput { is_cpu_f32: true, num_queries: 2, ..PlannerInput::default() });
//! assert_eq!(plan.kernel, Kernel::Fused);
//! let fused = attend(plan.kernel, call.clone(), None);
//! let reference = attend(Kernel::Reference, call, None);
//! assert_close(&fused.out, &reference.out, 1e-5);
//! ```

pub mod adamw;
#[cfg(feature = "allocator")]
pub mod allocator;
pub mod attention;
pub mod cpu;
pub mod cross_entropy;
pub mod dropout;
pub mod dynamic_tanh;
pub mod exact;
pub mod gated_linear;
pub mod gated_rms_norm;
pub mod gelu;
pub mod grouped_linear;
pub mod layer_norm;
pub mod linear_cross_entropy;
pub mod log_sigmoid;
pub mod packed;
pub mod planner;
pub mod recompute;
pub mod rms_norm;
pub mod roofline;
pub mod rotary;
pub mod scan;
pub mod short_convolution;
pub mod silu_gate;
pub mod testing;
