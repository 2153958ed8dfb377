//! Nothing: this crate's dependencies are its content (see its manifest).
