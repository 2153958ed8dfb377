//! Model families of Hugging Face: tiny models give the results that the reference code gave (`fixtures`).

mod bert;
mod case;
mod config_spellings;
mod configs;
mod dtypes;
mod encoders;
mod experts;
mod gguf;
mod gguf_rows;
mod gradients;
mod guide;
mod minilm;
mod parity;
mod refusals;
mod saving;
mod t5;
mod tiling;
