//! Patterns, layouts and plans against brute force, in one test binary.

mod common;
mod keeping;
mod patterns;
mod tiles;
