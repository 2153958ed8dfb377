//! Qwen 2: Llama with biases of q, k and v. Rows are not turned.

use super::{Architecture, Fields, Rule, llama, rope};
use kiln_spec::Refusal;
use serde_json::Value as Json;

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "qwen2",
    config,
    metadata: llama::metadata,
    also: &[],
    names: |_| NAMES.to_vec(),
    told: &[rope::FREQUENCIES],
};

const NAMES: [Rule; 12] = llama::unturned();

fn config(fields: &Fields) -> Result<Json, Refusal> {
    let mut config = llama::config(fields)?;
    config["use_sliding_window"] = false.into();
    Ok(config)
}
