//! Instants and durations as they stand in JSON and forms (RFC 3339, ISO 8601).

use std::time::Duration;

use chatpic_core::Timestamp;
use jiff::{Span, SpanRelativeTo};

use crate::problem::Problem;

/// An instant in UTC, whole seconds, with `Z`.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.seconds()).map(|at| at.to_string()).unwrap_or_default()
}

/// A duration given as whole seconds or in ISO 8601 with weeks, days, hours, minutes and seconds.
pub(crate) fn duration(name: &'static str, text: &str) -> Result<Duration, Problem> {
    let text = text.trim();
    let negative = || Problem::out_of_range(format!("{name} is negative"));
    if let Ok(seconds) = text.parse::<i64>() {
        return u64::try_from(seconds).map(Duration::from_secs).map_err(|_| negative());
    }
    if text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return Err(Problem::out_of_range(format!("{name} is out of range")));
    }
    let unreadable =
        || Problem::malformed(format!("{name} is neither whole seconds nor an ISO 8601 duration"));
    let span: Span = text.parse().map_err(|_| unreadable())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(unreadable());
    }
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| unreadable())?;
    u64::try_from(length.as_secs()).map(Duration::from_secs).map_err(|_| negative())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_iso_8601_are_read() {
        let seconds = |text| duration("expires_in", text).map(|d| d.as_secs()).ok();
        assert_eq!(seconds("3600"), Some(3600));
        assert_eq!(seconds("PT1H"), Some(3600));
        assert_eq!(seconds("P1DT2M3S"), Some(86_523));
        assert_eq!(seconds("P2W"), Some(1_209_600));
        for text in ["", "-1", "soon", "P1M", "P1Y", "-PT5S", "99999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn instants_are_whole_seconds_in_utc() {
        assert_eq!(rfc3339(Timestamp(1_790_000_000_999)), "2026-09-21T14:13:20Z");
    }
}
