//! Other people's models compute the same numbers here: tiny ones of the reference code, from `fixtures`.

mod bert;
mod encoders;
mod minilm;
mod t5;
