//! Full attention: every key is allowed for every query (1706.03762).
//!
//! `global` has no options, so the rule is implemented for [`NoOptions`].

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
        "full attention".into()
    }
}
