//! Where keys and values come from.

kiln_spec::choice! {
    /// Where keys and values come from.
    pub enum Source {
        /// From the tokens themselves.
        "self" => Own(kiln_spec::config::Nothing),
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Own(kiln_spec::config::Nothing {})
    }
}
