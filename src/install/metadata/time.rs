//! Times as registries write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Milliseconds since 1970 of `2026-01-02T03:04:05.678Z`, or of a shorter form that some
/// registries write to save bytes: without seconds, or a date alone.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil = DateTime::strptime("%Y-%m-%dT%H:%MZ", text);
    let civil = civil.or_else(|_| Date::strptime("%Y-%m-%d", text).map(DateTime::from));
    let zoned = civil.ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

/// A time, and how the registry writes it: lockfiles have it in the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    /// Milliseconds since 1970.
    pub(super) milliseconds: i64,
    pub(super) form: TimeForm,
}

impl Time {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(Self {
            milliseconds: parse_time(text)?,
            form: TimeForm::of(text),
        })
    }
}

/// `2026-01-02T03:04:05.678Z` where nothing else is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TimeForm {
    fraction: Fraction,
    /// `+00:00` in place of `Z`.
    has_offset: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fraction {
    #[default]
    Milliseconds,
    Nothing,
    /// With zeros at the end.
    Microseconds,
}

impl TimeForm {
    const OFFSET: u16 = 4;

    fn of(text: &str) -> Self {
        let with_offset = text.strip_suffix("+00:00");
        let Some(body) = with_offset.or_else(|| text.strip_suffix('Z')) else {
            return Self::default();
        };
        let fraction = match body.len() {
            19 => Fraction::Nothing,
            23 => Fraction::Milliseconds,
            26 if body.ends_with("000") => Fraction::Microseconds,
            _ => return Self::default(),
        };
        Self {
            fraction,
            has_offset: with_offset.is_some(),
        }
    }

    /// In three bits.
    pub(super) fn bits(self) -> u16 {
        self.fraction as u16 | if self.has_offset { Self::OFFSET } else { 0 }
    }

    pub(super) fn of_bits(bits: u16) -> Self {
        Self {
            fraction: match bits & 3 {
                1 => Fraction::Nothing,
                2 => Fraction::Microseconds,
                _ => Fraction::Milliseconds,
            },
            has_offset: bits & Self::OFFSET != 0,
        }
    }

    pub(super) fn text(self, time: Timestamp) -> String {
        let text = match self.fraction {
            Fraction::Milliseconds => format!("{time:.3}"),
            Fraction::Nothing => format!("{time:.0}"),
            Fraction::Microseconds => format!("{time:.6}"),
        };
        match text.strip_suffix('Z') {
            Some(body) if self.has_offset => format!("{body}+00:00"),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_words() {
        for text in [
            "2026-10-23T07:04:16.123Z",
            "2026-10-23T07:04:16Z",
            "2026-10-23T07:04:16+00:00",
            "2026-10-23T07:04:16.563000+00:00",
            "2026-10-23T07:04:16.563+00:00",
        ] {
            let time = Time::parse(text).expect("a time");
            let at = Timestamp::from_millisecond(time.milliseconds).expect("a time");
            let form = TimeForm::of_bits(time.form.bits());
            assert_eq!(form.text(at), text);
        }
        let form = TimeForm::of("2026-10-23T09:04:16.5+02:00");
        assert_eq!(form, TimeForm::default());
    }

    #[test]
    fn times_are_read_in_all_forms_that_registries_write() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000Z", Some(0)),
            ("1970-01-01T00:00:01.5Z", Some(1500)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T00:01Z", Some(60_000)),
            ("1970-01-02", Some(86_400_000)),
            ("1970-13-01", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }
}
