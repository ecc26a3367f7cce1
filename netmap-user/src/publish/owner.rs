//! Whose a rule is. It stands in the rule's flags, so that a new daemon and every listing know it too.

use std::fmt;

use netmap_common::maps::Rule;

/// Who had a rule published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// `netmap publish`, or another program by the API. Only they take it back.
    #[default]
    Operator,
    /// The container engine.
    Docker {
        /// Somebody stands for it now: a `netmap-docker-proxy`, or what the Engine API lists. If not, the engine or the
        /// daemon was killed since: the rule waits for one of them.
        claimed: bool,
    },
}

impl Owner {
    /// The owner of a rule with these flags.
    pub const fn of(flags: u8) -> Self {
        if flags & Rule::ENGINE == 0 {
            return Self::Operator;
        }
        Self::Docker {
            claimed: flags & Rule::UNCLAIMED == 0,
        }
    }

    /// What stands in a rule's flags for it.
    pub const fn flags(self) -> u8 {
        match self {
            Self::Operator => 0,
            Self::Docker { claimed: true } => Rule::ENGINE,
            Self::Docker { claimed: false } => Rule::ENGINE | Rule::UNCLAIMED,
        }
    }

    /// Whether the engine had it published.
    pub const fn is_docker(self) -> bool {
        matches!(self, Self::Docker { .. })
    }

    /// Its name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Docker { claimed: true } => "docker",
            Self::Docker { claimed: false } => "docker (unclaimed)",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_as_it_was_written_beside_other_flags() {
        for owner in [
            Owner::Operator,
            Owner::Docker { claimed: true },
            Owner::Docker { claimed: false },
        ] {
            assert_eq!(Owner::of(owner.flags()), owner);
            assert_eq!(Owner::of(owner.flags() | Rule::LIVE | Rule::YIELDS), owner);
        }
        // What a netmap wrote that knew of no engine.
        assert_eq!(Owner::of(Rule::LIVE | Rule::ALLOW_LIST), Owner::Operator);
    }
}
