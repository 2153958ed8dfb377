//! The pages as wholes.
