//! Everybody sees everybody.

use super::Geometry;
use crate::{config::Nothing, formula::Formula, keep::Keep};

impl Geometry for Nothing {
    fn formula(&self) -> Formula {
        Formula::always()
    }

    fn keep(&self) -> Keep {
        Keep::All
    }

    fn describe(&self) -> String {
        "everything".into()
    }
}
