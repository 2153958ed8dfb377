//! Nothing: a build script makes Cargo build the manifest's build-dependencies.

fn main() {}
