//! GPTQ (Frantar et al., arXiv:2210.17323) in the files of AutoGPTQ and GPTQModel.
//!
//! With n = 32 / bits integers in a word, a matrix `[out, in]` is stored as
//!
//! | tensor | type | shape | |
//! |---|---|---|---|
//! | `X.qweight` | I32 | `[in / n, out]` | q, packed along the inputs |
//! | `X.qzeros` | I32 | `[groups, out / n]` | zero points, packed along the outputs |
//! | `X.scales` | F16 | `[groups, out]` | s |
//! | `X.g_idx` | I32 | `[in]` | the group g(i) of an input |
//!
//! and w\[o, i\] = s\[g(i), o\] (q\[i, o\] − z\[g(i), o\]). `checkpoint_format` `gptq` stores z − 1, `gptq_v2` stores z. The 1 is added to
//! all integers of a word in one sum, as GPTQModel does, which undoes its subtraction. (A stored 2^bits − 1 becomes 0 and carries
//! to the next integer; AutoGPTQ's kernels take it as 2^bits.) With `desc_act` (act-order), inputs were quantized in
//! another order than they are stored in, so that a group's inputs are not consecutive.

use super::{
    LogicalTensor, QuantMethod, QuantOptions, QuantReader,
    integer_groups::{IntegerGroups, group_count},
    packed_integers::{ASCENDING, PackedIntegers, Packing},
    stored::{self, broken},
};
use crate::tensors::{TensorError, TensorSource};
use kiln_spec::ValidationError;

pub(super) const METHOD: QuantMethod = QuantMethod { name: "gptq", stores_linear: true, read_options };

/// Keys about how the weights were made, or which kernels other programs use: no reader of the weights needs them.
const IGNORED_KEYS: [&str; 35] = [
    "sym",
    "true_sequential",
    "damp_percent",
    "damp_auto_increment",
    "static_groups",
    "act_group_aware",
    "mse",
    "lm_head",
    "meta",
    "uri",
    "model_name_or_path",
    "model_file_base_name",
    "is_marlin_format",
    "tokenizer",
    "dataset",
    "backend",
    "model_seqlen",
    "block_name_to_quantize",
    "module_name_preceding_first_block",
    "modules_in_block_to_quantize",
    "inside_layer_modules",
    "batch_size",
    "pad_token_id",
    "max_input_length",
    "cache_block_outputs",
    "use_exllama",
    "disable_exllama",
    "exllama_config",
    "use_cuda_fp16",
    "parallel_packing",
    "offload_to_disk",
    "offload_to_disk_path",
    "pack_impl",
    "fail_safe",
    "failsafe",
];

struct Gptq {
    bits: usize,
    group_size: Option<usize>,
    /// Whether groups may have inputs in any order.
    desc_act: bool,
    /// Whether zero points are stored less one.
    is_less_one: bool,
}

fn read_options(options: &QuantOptions) -> Result<Box<dyn QuantReader>, ValidationError> {
    options.fields.ignore(&IGNORED_KEYS);
    let format = options.choice(&["checkpoint_format", "format"], "gptq", &["gptq", "gptq_v2"])?;
    options.choice(&["pack_dtype"], "int32", &["int32"])?;
    Ok(Box::new(Gptq {
        bits: options.bits(&[4, 8])?,
        group_size: options.group_size()?,
        desc_act: options.fields.flag("desc_act", false)?,
        is_less_one: format == "gptq",
    }))
}

impl QuantReader for Gptq {
    fn logical_tensors(&self, stored: &dyn TensorSource) -> Result<Vec<LogicalTensor>, TensorError> {
        let modules = stored.entries().keys().filter_map(|name| name.strip_suffix(".qweight"));
        modules.map(|module| self.matrix(module, stored)).collect()
    }
}

impl Gptq {
    /// The matrix of a module.
    fn matrix(&self, module: &str, stored: &dyn TensorSource) -> Result<LogicalTensor, TensorError> {
        let [weight, zeros, scales, g_idx] =
            ["qweight", "qzeros", "scales", "g_idx"].map(|part| format!("{module}.{part}"));
        let per_word = 32 / self.bits;
        let (inputs, outputs) = match stored.entries()[&weight].shape[..] {
            [words, outputs] if words > 0 && outputs > 0 && outputs.is_multiple_of(per_word) => {
                (words.saturating_mul(per_word), outputs)
            }
            ref shape => {
                let reason = format!("expected the shape [in / {per_word}, out] with out a multiple of {per_word}");
                return Err(broken(&weight, format!("{reason}, found {shape:?}")));
            }
        };
        let groups = group_count(&weight, inputs, self.group_size)?;
        let mut parts = vec![weight.clone(), zeros.clone(), scales.clone()];
        let group_of_input = self.group_of_input([&g_idx, &weight], [inputs, groups], stored)?;
        parts.extend(stored.entries().contains_key(&g_idx).then_some(g_idx));
        // A 1 in each integer of a word: 0x11111111 with 4 bits.
        let ones = u32::MAX / ((1 << self.bits) - 1);
        let word_offset = if self.is_less_one { ones } else { 0 };
        let integers = |tensor, shape, packing, word_offset| {
            let bits = self.bits;
            PackedIntegers { tensor, bits, shape, packing, word_offset }
        };
        let matrix = IntegerGroups {
            weight: integers(weight, [inputs, outputs], Packing::Rows, 0),
            zeros: integers(zeros, [groups, outputs], ASCENDING, word_offset),
            scales,
            group_of_input,
        };
        matrix.into_logical(module, parts, stored)
    }

    /// The group of each input; `None` if groups are consecutive inputs.
    fn group_of_input(
        &self,
        [name, of]: [&str; 2],
        [inputs, groups]: [usize; 2],
        stored: &dyn TensorSource,
    ) -> Result<Option<Vec<usize>>, TensorError> {
        // Files without act-order may leave it out.
        if !self.desc_act && !stored.entries().contains_key(name) {
            return Ok(None);
        }
        stored::require_form(stored, (name, of), &["I32"], &[inputs])?;
        let to_group = |(input, group): (usize, &i32)| {
            let valid = usize::try_from(*group).ok().filter(|group| *group < groups);
            let reason = || format!("expected groups from 0 to {}, found {group} for input {input}", groups - 1);
            valid.ok_or_else(|| broken(name, reason()))
        };
        let group_of =
            stored::integers(stored, name)?.iter().enumerate().map(to_group).collect::<Result<Vec<_>, _>>()?;
        let is_consecutive = group_of.iter().enumerate().all(|(input, group)| *group == input / (inputs / groups));
        Ok((!is_consecutive).then_some(group_of))
    }
}
