//! Where keys and values come from.

kiln_spec::choice! {
    /// Where keys and values come from.
    pub enum Source {
        /// From the tokens themselves.
        "self" => Own(kiln_spec::config::Nothing) with kiln_spec::Card::data("1706.03762"),
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Own(kiln_spec::config::Nothing {})
    }
}
