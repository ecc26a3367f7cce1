//! What can be said to `netmap top`.

use std::time::Duration;

use clap::Args;

/// `netmap top`.
#[derive(Args, Clone, Copy, Debug)]
pub struct TopArgs {
    /// How often to read, in seconds, 0.1 to 3600
    #[arg(short = 'd', long, value_name = "SECONDS", default_value = "2", value_parser = parse_interval)]
    pub interval: Duration,
    /// Print it once, after one interval, and end
    #[arg(long)]
    pub once: bool,
    /// With --once: print JSON with stable keys
    #[arg(long, requires = "once")]
    pub json: bool,
    /// With --once: how many lines of each list
    #[arg(long, value_name = "N", default_value_t = 10, requires = "once")]
    pub limit: usize,
}

fn parse_interval(text: &str) -> Result<Duration, IntervalError> {
    let refused = || IntervalError(text.to_owned());
    let seconds: f64 = text.trim_end_matches('s').parse().map_err(|_| refused())?;
    if !(0.1..=3_600.0).contains(&seconds) {
        return Err(refused());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

/// What is no interval.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no interval; give seconds, 0.1 to 3600")]
struct IntervalError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_seconds() {
        assert_eq!(parse_interval("2").unwrap(), Duration::from_secs(2));
        assert_eq!(parse_interval("0.5s").unwrap(), Duration::from_millis(500));
        for text in ["0", "0.01", "3601", "-1", "NaN", "inf", "soon", ""] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }
}
