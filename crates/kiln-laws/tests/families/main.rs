//! Other people's models compute the same numbers here: tiny ones of the reference code, from `fixtures/hf`.

mod case;
mod configs;
mod gradients;
mod parity;
mod saving;
