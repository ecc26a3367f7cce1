//! How much is measured, and for how long.

use std::time::Duration;

/// One of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Everything, as published.
    Full,
    /// Fewer backends, columns and rounds, for about two minutes.
    Quick,
    /// Only that everything runs and packets arrive intact.
    Smoke,
}

impl Effort {
    /// How often everything is done anew, unless the user says so.
    pub(crate) const fn rounds(self) -> u32 {
        match self {
            Self::Full => 5,
            Self::Quick | Self::Smoke => 1,
        }
    }

    /// How long a load runs before it counts.
    pub(crate) const fn warm_up(self) -> Duration {
        Duration::from_millis(match self {
            Self::Full => 300,
            Self::Quick => 150,
            Self::Smoke => 20,
        })
    }

    /// How long it counts.
    pub(crate) const fn window(self) -> Duration {
        Duration::from_millis(match self {
            Self::Full => 1000,
            Self::Quick => 400,
            Self::Smoke => 60,
        })
    }

    /// How many milliseconds a TCP or UDP client runs.
    pub(crate) fn client_time(self) -> String {
        let milliseconds = match self {
            Self::Full => 2000,
            Self::Quick => 500,
            Self::Smoke => 60,
        };
        f64::to_string(&f64::from(milliseconds))
    }

    /// How many flows are "many".
    pub(crate) const fn many_flows(self) -> u16 {
        match self {
            Self::Full | Self::Quick => 4096,
            Self::Smoke => 64,
        }
    }

    /// Numbers of published ports that are compared.
    pub(crate) const fn port_counts(self) -> &'static [u16] {
        match self {
            Self::Full => &[4, 100, 1_000, 10_000, 60_000],
            Self::Quick => &[4, 10_000],
            Self::Smoke => &[4, 100],
        }
    }

    /// Whether rarely needed columns are measured, too.
    pub(crate) fn is_full(self) -> bool {
        self == Self::Full
    }
}
