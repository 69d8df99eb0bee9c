//! RFC 3339 times. Small enough to own; a calendar library would be the larger dependency.

use std::time::Duration;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// A moment as `clock_settime` wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    pub nanos: u32,
}

impl Timestamp {
    /// `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)`; digits after the ninth of the fraction are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let mut cursor = Cursor(text.as_bytes());
        let year = cursor.number(4)?;
        cursor.one_of(b"-")?;
        let month = cursor.number(2).filter(|month| (1..=12).contains(month))?;
        cursor.one_of(b"-")?;
        let day = cursor.number(2).filter(|day| (1..=days_in(year, month)).contains(day))?;
        cursor.one_of(b"Tt ")?;
        let seconds_of_day = cursor.clock()?;
        // A leap second has no number of its own in POSIX time: it is the first second of the next minute.
        cursor.one_of(b":")?;
        let second = cursor.number(2).filter(|second| *second <= 60)?;
        let nanos = if cursor.one_of(b".").is_some() { cursor.fraction()? } else { 0 };
        let offset = match cursor.one_of(b"Zz+-")? {
            b'+' => cursor.clock()?,
            b'-' => -cursor.clock()?,
            _ => 0,
        };
        let seconds = days_since_epoch(year, month, day) * 86_400 + seconds_of_day + second - offset;
        cursor.0.is_empty().then_some(Self { seconds, nanos })
    }

    /// The moment that is so much later.
    pub fn plus(self, passed: Duration) -> Self {
        let nanos = self.nanos + passed.subsec_nanos();
        let carried = nanos / NANOS_PER_SECOND;
        let seconds = self.seconds.saturating_add_unsigned(passed.as_secs() + u64::from(carried));
        Self { seconds, nanos: nanos % NANOS_PER_SECOND }
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        head.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    }

    fn one_of(&mut self, accepted: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        accepted.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// `hh:mm` in seconds.
    fn clock(&mut self) -> Option<i64> {
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.one_of(b":")?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        Some(hour * 3600 + minute * 60)
    }

    fn fraction(&mut self) -> Option<u32> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let padded = digits.iter().map(|byte| u32::from(byte - b'0')).chain(std::iter::repeat(0));
        (length > 0).then(|| padded.take(9).fold(0, |sum, digit| sum * 10 + digit))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let whole_years = 365 * (year - 1970) + leap_days(year - 1) - leap_days(1969);
    let whole_months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    whole_years + whole_months + day - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_date_prints() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T12:00:00Z", 951_825_600, 0),
            ("2026-01-02T03:04:05.678Z", 1_767_323_045, 678_000_000),
            ("2026-01-02T03:04:05.123456789123Z", 1_767_323_045, 123_456_789),
            ("2026-01-02t03:04:05z", 1_767_323_045, 0),
            ("2026-01-02T05:04:05+02:00", 1_767_323_045, 0),
            ("2026-01-01T22:34:05-04:30", 1_767_323_045, 0),
            ("2100-03-01T00:00:00Z", 4_107_542_400, 0),
            ("2016-12-31T23:59:60Z", 1_483_228_800, 0),
            ("1969-12-31T23:59:59Z", -1, 0),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp { seconds, nanos }), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-02-29T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:60:05Z",
            "2026-01-02T03:04:61Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05Zx",
            "2026-01-02T03:04:05+2:00",
            "+026-01-02T03:04:05Z",
            "1767323045.5",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn time_passes() {
        let moment = Timestamp { seconds: -1, nanos: 900_000_000 };
        assert_eq!(moment.plus(Duration::from_millis(2_300)), Timestamp { seconds: 2, nanos: 200_000_000 });
        assert_eq!(moment.plus(Duration::ZERO), moment);
    }

    proptest! {
        #[test]
        fn an_offset_is_time_that_has_passed_elsewhere(
            days in (0_i64..10_000, 1_i64..13, 1_i64..29),
            (hour, minute, second) in (0_i64..24, 0_i64..60, 0_i64..61),
            (ahead, offset) in (any::<bool>(), (0_i64..24, 0_i64..60)),
        ) {
            let (year, month, day) = days;
            let local = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.5");
            let sign = if ahead { '+' } else { '-' };
            let here = Timestamp::parse(&format!("{local}{sign}{:02}:{:02}", offset.0, offset.1)).expect("offset");
            let utc = Timestamp::parse(&format!("{local}Z")).expect("utc");
            let passed = (offset.0 * 60 + offset.1) * 60;
            prop_assert_eq!(here.seconds, utc.seconds - if ahead { passed } else { -passed });
            prop_assert_eq!(here.nanos, 500_000_000);
        }

        #[test]
        fn days_follow_each_other(year in 0_i64..10_000, month in 1_i64..13, day in 1_i64..32) {
            prop_assume!(day <= days_in(year, month));
            let next = if day < days_in(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
            let (today, tomorrow) = (days_since_epoch(year, month, day), days_since_epoch(next.0, next.1, next.2));
            prop_assert_eq!(tomorrow, today + 1);
        }

        #[test]
        fn no_text_panics(near in "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.Zz+-]{0,20}", any: String) {
            for text in [near, any] {
                let _time = Timestamp::parse(&text);
            }
        }
    }
}
