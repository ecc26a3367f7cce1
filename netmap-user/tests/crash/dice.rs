//! Chance that can be had again.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// Numbers by chance (xorshift64*), the same ones for the same seed.
pub(crate) struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// With the seed that `NETMAP_SEED` says, or another one each time.
    pub(crate) fn from_environment() -> Self {
        let seed = std::env::var("NETMAP_SEED").map_or_else(
            |_| {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                u64::try_from(now.as_millis()).unwrap()
            },
            |seed| seed.parse().expect("NETMAP_SEED is a number"),
        );
        Self {
            seed,
            // Zero would stay zero.
            state: seed | 1 << 63,
        }
    }

    /// From 0 to `end`, without it.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

impl fmt::Display for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NETMAP_SEED={}", self.seed)
    }
}
