//! Other people's models compute the same numbers here: tiny ones of the reference code, from `fixtures`.

mod bert;
mod case;
mod configs;
mod encoders;
mod gradients;
mod minilm;
mod parity;
mod saving;
mod t5;
