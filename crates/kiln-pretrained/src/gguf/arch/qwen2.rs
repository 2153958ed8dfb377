//! `qwen2`: Qwen 2, which is Llama with biases of q, k and v. The rows of q and k are not permuted, because llama.cpp
//! rotates halves for this architecture. Metadata keys are those of Llama.

use super::{Architecture, MetadataReader, NameRule, llama, rope};
use kiln_spec::ValidationError;
use serde_json::Value as Json;

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "qwen2",
    to_config_json: config,
    to_metadata: llama::metadata,
    aliases: &[],
    name_rules: |_| NAME_RULES.to_vec(),
    derived_tensors: &[rope::ROPE_FREQS_TENSOR],
};

const NAME_RULES: [NameRule; 12] = llama::unpermuted_rules();

/// The `config.json` of a Qwen 2. GGUF has no sliding windows for this architecture.
fn config(fields: &MetadataReader) -> Result<Json, ValidationError> {
    let mut config = llama::config(fields)?;
    config["use_sliding_window"] = false.into();
    Ok(config)
}
