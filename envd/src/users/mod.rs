//! Users of the guest. Parsed from `/etc/passwd` and `/etc/group` by ourselves: envd is linked statically, and
//! a static glibc cannot load the name services that its own lookup functions need.

mod credentials;
mod database;
mod run_as;

pub use credentials::{assume_process, is_self};
pub use database::{Names, User, find};
pub use run_as::{blocking, run_as};

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use crate::fault::{Fault, Kind, Outcome};

/// The user name of the request's Basic credentials; the password means nothing, the token is what counts.
pub fn requested(headers: &HeaderMap) -> Outcome<Option<String>> {
    let Some(value) = headers.get(http::header::AUTHORIZATION) else {
        return Ok(None);
    };
    let malformed = || Fault::new(Kind::Unauthenticated, "authorization: must be Basic with a user name");
    let (scheme, encoded) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
    let text = String::from_utf8(decoded).map_err(|_| malformed())?;
    let name = text.split(':').next().unwrap_or_default();
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// Looks a user up; the error names it. Reads files: call it where blocking is allowed.
pub fn resolve(name: &str) -> Outcome<Arc<User>> {
    match find(name) {
        Ok(Some(user)) => Ok(Arc::new(user)),
        Ok(None) => Err(Fault::new(Kind::Unauthenticated, format!("user '{name}' does not exist"))),
        Err(error) => Err(Fault::io("/etc/passwd", &error)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", http::HeaderValue::from_str(value).expect("header"));
        headers
    }

    #[test]
    fn takes_the_name_and_ignores_the_password() {
        assert_eq!(requested(&HeaderMap::new()).expect("none"), None);
        assert_eq!(requested(&headers("Basic dXNlcjo=")).expect("user:"), Some("user".into()));
        assert_eq!(requested(&headers("basic dXNlcjp4eQ==")).expect("user:xy"), Some("user".into()));
        assert_eq!(requested(&headers("Basic Og==")).expect(":"), None);
    }

    #[test]
    fn refuses_other_schemes_and_garbage() {
        for value in ["Bearer x", "Basic", "Basic ###", "Basic /w=="] {
            let fault = requested(&headers(value)).expect_err(value);
            assert_eq!(fault.kind, Kind::Unauthenticated);
        }
    }

    proptest! {
        #[test]
        fn the_name_arrives_as_it_was_sent(name in "[^:]{1,20}", password: String) {
            let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")));
            prop_assert_eq!(requested(&headers(&value)).expect("name"), Some(name));
        }

        #[test]
        fn no_value_panics(value in "(Basic )?[ -~]{0,40}", bytes in prop::collection::vec(32_u8..=255, 0..40)) {
            let _name = requested(&headers(&value));
            if let Ok(value) = http::HeaderValue::from_bytes(&bytes) {
                let mut headers = HeaderMap::new();
                headers.insert("authorization", value);
                let _name = requested(&headers);
            }
        }
    }
}
