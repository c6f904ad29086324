//! When to try again.

use std::time::{Duration, SystemTime};

use crate::install::config::RetryConfig;

/// How long to wait before try `attempt` (the second is 2).
pub(super) fn wait_before(
    attempt: u32,
    config: &RetryConfig,
    asked_for: Option<Duration>,
) -> Duration {
    let exponent = attempt.saturating_sub(2);
    let factor = config.factor.max(1).saturating_pow(exponent);
    let own = config.wait_min.saturating_mul(factor);
    asked_for.unwrap_or(own).min(config.wait_max)
}

/// `Retry-After`: seconds, or a date in the form that HTTP prefers.
pub(super) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = value.strip_suffix(" GMT")?;
    let date = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S", date).ok()?;
    let then = SystemTime::from(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_below_the_maximum() {
        let config = RetryConfig {
            retries: 5,
            factor: 10,
            wait_min: Duration::from_secs(10),
            wait_max: Duration::from_secs(60),
        };
        let seconds = Duration::from_secs;
        for (attempt, asked_for, expected) in [
            (2, None, seconds(10)),
            (3, None, seconds(60)),
            (400, None, seconds(60)),
            (2, Some(seconds(1)), seconds(1)),
            (2, Some(seconds(86_400)), seconds(60)),
            (2, Some(seconds(0)), seconds(0)),
        ] {
            assert_eq!(wait_before(attempt, &config, asked_for), expected);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("99999999999999999999", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(parse_retry_after(value, now), expected, "{value}");
        }
    }
}
