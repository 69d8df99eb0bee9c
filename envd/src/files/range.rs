//! The `Range` of a download (RFC 9110 section 14).

use std::ops::Range;

/// What of a file a `Range` asks for. A part has at least one byte, and none behind the file's end.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The header means nothing here: it is malformed, of another unit, or asks for several ranges, which may be
    /// answered with the whole.
    Whole,
    Part(Range<u64>),
    /// Nothing of what is asked for is there.
    Nothing,
}

/// Which bytes of `length` the header asks for.
pub fn parse(header: &str, length: u64) -> Wanted {
    let Some((unit, spec)) = header.split_once('=') else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let (first, last) = match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => (first, last.unwrap_or(u64::MAX)),
        // The last so many bytes.
        (Some(None), Some(Some(count))) => {
            let first = length.saturating_sub(count);
            return if first < length { Wanted::Part(first..length) } else { Wanted::Nothing };
        }
        _ => return Wanted::Whole,
    };
    match () {
        () if first > last => Wanted::Whole,
        () if first >= length => Wanted::Nothing,
        () => Wanted::Part(first..last.saturating_add(1).min(length)),
    }
}

/// `None` when it is not a number, `Some(None)` when it is absent. One that is too large means as much as there is.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_range_is_understood() {
        for (header, wanted) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("Bytes = 2-", Wanted::Part(2..10)),
            ("bytes=2-99", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=9-99999999999999999999999", Wanted::Part(9..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=3-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(parse(header, 10), wanted, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(parse("bytes=-1", 0), Wanted::Nothing);
    }

    proptest! {
        #[test]
        fn what_is_served_lies_within_the_file(header in "(bytes=)?[-0-9, ]{0,24}|.{0,20}", length: u64) {
            if let Wanted::Part(range) = parse(&header, length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }

        #[test]
        fn a_range_is_what_it_says(first in 0_u64..1000, more in 0_u64..1000, length in 1_u64..1000) {
            let last = first + more;
            let expected = if first < length { Wanted::Part(first..length.min(last + 1)) } else { Wanted::Nothing };
            prop_assert_eq!(parse(&format!("bytes={first}-{last}"), length), expected);
        }
    }
}
