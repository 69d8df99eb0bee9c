//! Whether a client's copy of a file is still good (RFC 9110 section 13).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

use super::coding::Coding;

/// The year 9999, from which on a date has no spelling in HTTP.
const END_OF_DATES: u64 = 253_370_764_800;

/// What stands for the content of a file, in one encoding.
pub struct Validators {
    /// In quotes, strong.
    pub etag: String,
    /// Whole seconds, which is all that HTTP can say; `None` for a time that it cannot say.
    pub modified: Option<SystemTime>,
}

/// What a request's conditions make of it: an answer with the file, 304 or 412.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Serve,
    NotModified,
    PreconditionFailed,
}

impl Validators {
    /// The tag changes with the time of the last change of the inode: unlike the time of modification nobody can
    /// set that back.
    pub fn new(metadata: &Metadata, coding: Coding) -> Self {
        let (inode, size) = (metadata.ino(), metadata.len());
        let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        let coding = match coding {
            Coding::Identity => "",
            Coding::Gzip => "-gzip",
        };
        let seconds = u64::try_from(metadata.mtime()).ok().filter(|seconds| *seconds < END_OF_DATES);
        Self {
            etag: format!("\"{inode:x}-{size:x}-{changed:x}{coding}\""),
            modified: seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    /// Judges the conditions of a request, in the order of RFC 9110 section 13.2.2.
    pub fn judge(&self, headers: &HeaderMap) -> Verdict {
        let (modified, unmodified) = (self.since(headers, IF_MODIFIED_SINCE), self.since(headers, IF_UNMODIFIED_SINCE));
        let holds = self.listed(headers, IF_MATCH, false).or(unmodified.map(|changed| !changed)).unwrap_or(true);
        if !holds {
            return Verdict::PreconditionFailed;
        }
        match self.listed(headers, IF_NONE_MATCH, true).or(modified.map(|changed| !changed)) {
            Some(true) => Verdict::NotModified,
            _ => Verdict::Serve,
        }
    }

    /// Whether a range may be answered: the client's parts are of the file as it is now, or it does not ask.
    pub fn range_applies(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(IF_RANGE).map(|value| value.to_str().unwrap_or_default().trim()) else {
            return true;
        };
        // A time stands for the content only when it is exactly the one that we said.
        value == self.etag || (self.modified.is_some() && time(value) == self.modified)
    }

    /// Whether the tag is one of those in the header, or the header is '*'. Only a strong comparison can tell that
    /// two contents are the same byte for byte.
    fn listed(&self, headers: &HeaderMap, name: HeaderName, weak: bool) -> Option<bool> {
        headers.contains_key(&name).then(|| {
            let tags = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
            tags.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
                let tag = if weak { tag.strip_prefix("W/").unwrap_or(tag) } else { tag };
                tag == "*" || tag == self.etag
            })
        })
    }

    /// Whether the file has changed since the time in the header.
    fn since(&self, headers: &HeaderMap, name: HeaderName) -> Option<bool> {
        let since = time(headers.get(name)?.to_str().ok()?)?;
        Some(self.modified? > since)
    }
}

fn time(value: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(value).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const THEN: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

    fn validators() -> Validators {
        Validators { etag: "\"tag\"".into(), modified: Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)) }
    }

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn conditions_are_judged_by_tag_first_and_by_time_else() {
        use Verdict::{NotModified, PreconditionFailed, Serve};
        for (fields, verdict) in [
            (&[][..], Serve),
            (&[(IF_NONE_MATCH, "\"tag\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"other\", W/\"tag\"")], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, AFTER)], Serve),
            (&[(IF_MODIFIED_SINCE, THEN)], NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Serve),
            (&[(IF_MODIFIED_SINCE, "nonsense")], Serve),
            (&[(IF_MATCH, "\"tag\"")], Serve),
            (&[(IF_MATCH, "W/\"tag\"")], PreconditionFailed),
            (&[(IF_MATCH, "\"tag\""), (IF_UNMODIFIED_SINCE, BEFORE)], Serve),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], PreconditionFailed),
            (&[(IF_UNMODIFIED_SINCE, THEN)], Serve),
        ] {
            assert_eq!(validators().judge(&headers(fields)), verdict, "{fields:?}");
        }
    }

    #[test]
    fn a_tag_is_of_one_state_and_encoding_and_a_date_has_a_spelling() {
        let path = std::env::temp_dir().join(format!("envd-validators-{}", std::process::id()));
        let file = std::fs::File::create(&path).expect("file");
        for (seconds, expected) in [(1, true), (END_OF_DATES - 1, true), (END_OF_DATES, false)] {
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("time");
            let metadata = file.metadata().expect("metadata");
            // The file system of the tests may end earlier than dates do.
            if u64::try_from(metadata.mtime()) == Ok(seconds) {
                let modified = Validators::new(&metadata, Coding::Identity).modified;
                assert_eq!(modified.map(httpdate::fmt_http_date).is_some(), expected, "{seconds}");
            }
            let tag = |coding| Validators::new(&metadata, coding).etag;
            assert_ne!(tag(Coding::Identity), tag(Coding::Gzip));
        }
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn a_range_needs_the_very_same_content() {
        for (value, applies) in
            [("\"tag\"", true), ("W/\"tag\"", false), ("\"other\"", false), (THEN, true), (AFTER, false), ("x", false)]
        {
            assert_eq!(validators().range_applies(&headers(&[(IF_RANGE, value)])), applies, "{value}");
        }
        assert!(validators().range_applies(&HeaderMap::new()));
        let undated = Validators { modified: None, ..validators() };
        assert!(!undated.range_applies(&headers(&[(IF_RANGE, "nonsense")])));
    }

    proptest! {
        #[test]
        fn no_condition_panics(
            bytes in prop::collection::vec(32_u8..=255, 0..40),
            tags in "([*\", W/]|tag){0,10}",
            date in "(Mon|Tue), [0-9 ]{2} (Feb|Nov) [0-9]{4} [0-9:]{8} GMT",
        ) {
            for value in [bytes, tags.into_bytes(), date.into_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(&value) else {
                    continue;
                };
                let names = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];
                for headers in names.map(|name| HeaderMap::from_iter([(name, value.clone())])) {
                    let _verdict = (validators().judge(&headers), validators().range_applies(&headers));
                }
            }
        }
    }
}
