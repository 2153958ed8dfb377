//! Patterns, layouts and plans against brute force, in one test binary.

mod cache_policy;
mod common;
mod patterns;
mod tiles;
