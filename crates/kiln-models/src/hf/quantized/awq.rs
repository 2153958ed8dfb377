//! AWQ (Lin et al., arXiv:2306.00978) in the files of AutoAWQ, version `gemm`.
//!
//! A matrix `[out, in]` of 4-bit integers is stored as
//!
//! | tensor | type | shape | |
//! |---|---|---|---|
//! | `X.qweight` | I32 | `[in, out / 8]` | q, packed along the outputs |
//! | `X.qzeros` | I32 | `[groups, out / 8]` | zero points z, packed as q |
//! | `X.scales` | F16 | `[groups, out]` | s |
//!
//! and w\[o, i\] = s\[g, o\] (q\[i, o\] − z\[g, o\]) with g = ⌊i / group_size⌋. From the lowest bits up, a word has the outputs
//! 0, 2, 4, 6, 1, 3, 5, 7 of its eight (`packing_utils.py`).

use super::{
    LogicalTensor, QuantMethod, QuantOptions, QuantReader,
    integer_groups::{IntegerGroups, group_count},
    packed_integers::{PackedIntegers, Packing},
    stored::{broken, check_excluded},
};
use crate::tensors::{TensorError, TensorSource};
use kiln_spec::ValidationError;

pub(super) const METHOD: QuantMethod = QuantMethod { name: "awq", stores_linear: true, read_options };

const BITS: usize = 4;

/// The position of each of eight outputs in a word.
const INTERLEAVED: Packing = Packing::Columns(&[0, 4, 1, 5, 2, 6, 3, 7]);

/// Keys about how the weights were made, or which kernels other programs use. The second line has options of GPTQ that
/// transformers writes for AWQ too.
const IGNORED_KEYS: &str = "do_fuse fuse_max_seq_len modules_to_fuse exllama_config duo_scaling n_samples seqlen tokenizer \
     dataset damp_percent act_group_aware sym true_sequential meta model_seqlen block_name_to_quantize batch_size \
     module_name_preceding_first_block pad_token_id max_input_length cache_block_outputs modules_in_block_to_quantize";

struct Awq {
    group_size: Option<usize>,
    excluded: Vec<(String, String)>,
}

fn read_options(options: &QuantOptions) -> Result<Box<dyn QuantReader>, ValidationError> {
    options.fields.ignore(&IGNORED_KEYS.split_whitespace().collect::<Vec<_>>());
    options.choice(&["version", "format"], "gemm", &["gemm"])?;
    let kernels =
        ["auto", "autoawq", "auto_trainable", "machete", "marlin", "exllama_v2", "gemm", "gemm_triton", "torch_awq"];
    options.choice(&["backend"], "auto", &kernels)?;
    options.bits(&[BITS])?;
    if !options.fields.flag("zero_point", true)? {
        return Err(ValidationError::new("zero_point", "expected true, found false"));
    }
    if options.fields.flag("desc_act", false)? {
        return Err(ValidationError::new("desc_act", "expected false, found true"));
    }
    let excluded = options.excluded_modules(&["modules_to_not_convert"])?;
    Ok(Box::new(Awq { group_size: options.group_size()?, excluded }))
}

impl QuantReader for Awq {
    fn logical_tensors(&self, stored: &dyn TensorSource) -> Result<Vec<LogicalTensor>, TensorError> {
        let modules = stored.entries().keys().filter_map(|name| name.strip_suffix(".qweight"));
        modules.map(|module| self.matrix(module, stored)).collect()
    }
}

impl Awq {
    /// The matrix of a module.
    fn matrix(&self, module: &str, stored: &dyn TensorSource) -> Result<LogicalTensor, TensorError> {
        let [weight, zeros, scales] = ["qweight", "qzeros", "scales"].map(|part| format!("{module}.{part}"));
        check_excluded(&self.excluded, module, &weight)?;
        let (inputs, outputs) = match stored.entries()[&weight].shape[..] {
            [inputs, words] if inputs > 0 && words > 0 => (inputs, words.saturating_mul(32 / BITS)),
            ref shape => return Err(broken(&weight, format!("expected the shape [in, out / 8], found {shape:?}"))),
        };
        let groups = group_count(&weight, inputs, self.group_size)?;
        let parts = vec![weight.clone(), zeros.clone(), scales.clone()];
        let integers =
            |tensor, shape| PackedIntegers { tensor, bits: BITS, shape, packing: INTERLEAVED, word_offset: 0 };
        let matrix = IntegerGroups {
            weight: integers(weight, [inputs, outputs]),
            zeros: integers(zeros, [groups, outputs]),
            scales,
            group_of_input: None,
        };
        matrix.into_logical(module, parts, stored)
    }
}
