//! Model families of Hugging Face: tiny models give the results that the reference code gave (`fixtures`).

mod bert;
mod case;
mod config_spellings;
mod configs;
mod dtypes;
mod encoders;
mod experts;
mod gguf;
mod gradients;
mod minilm;
mod parity;
mod saving;
mod t5;
mod tiling;
