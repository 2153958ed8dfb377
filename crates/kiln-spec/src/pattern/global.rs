//! Everybody sees everybody.

use super::PatternRule;
use crate::{cache_policy::CachePolicy, config::NoOptions, formula::Formula};

impl PatternRule for NoOptions {
    fn formula(&self) -> Formula {
        Formula::always_true()
    }

    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::All
    }

    fn describe(&self) -> String {
        "everything".into()
    }
}
