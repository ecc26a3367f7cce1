//! Numbers, as people read them.

use std::time::Duration;

/// Bytes in at most six characters: `999`, `1.5k`, `12.3M`. A thousand is 1,000, as with network cards.
pub fn amount(count: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if count < 1_000 {
        return count.to_string();
    }
    let mut unit = 1_000_u64;
    let mut name = "k";
    for next in UNITS.into_iter().skip(1) {
        if count / unit < 1_000 {
            break;
        }
        unit = unit.saturating_mul(1_000);
        name = next;
    }
    let tenths = u128::from(count) * 10 / u128::from(unit);
    if tenths < 1_000 {
        format!("{}.{}{name}", tenths / 10, tenths % 10)
    } else {
        format!("{}{name}", tenths / 10)
    }
}

/// Seconds, in its largest unit and the next: `42s`, `3m20s`, `5h12m`, `12d3h`.
pub(super) fn time(seconds: u32) -> String {
    const UNITS: [(u32, char); 3] = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let smaller = [(3_600, 'h'), (60, 'm'), (1, 's')];
    for ((unit, name), (next, next_name)) in UNITS.into_iter().zip(smaller) {
        if seconds >= unit {
            return format!("{}{name}{}{next_name}", seconds / unit, seconds % unit / next);
        }
    }
    format!("{seconds}s")
}

/// A time that passes while one waits: `250ms`, `2.0s`.
pub(super) fn wait(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{}ms", time.as_millis())
    } else {
        format!("{:.1}s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (1_550, "1.5k"),
            (99_999, "99.9k"),
            (123_456, "123k"),
            (999_999, "999k"),
            (1_000_000, "1.0M"),
            (12_300_000_000, "12.3G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(amount(count), text);
        }
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (200, "3m20s"),
            (18_720, "5h12m"),
            (1_047_600, "12d3h"),
        ] {
            assert_eq!(time(seconds), text);
        }
        assert_eq!(wait(Duration::from_millis(250)), "250ms");
        assert_eq!(wait(Duration::from_millis(2_500)), "2.5s");
    }
}
