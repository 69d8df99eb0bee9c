//! The query of `/files`.

use std::sync::Arc;

use http::{HeaderMap, Uri};

use super::access::Access;
use crate::defaults::SharedDefaults;
use crate::fault::{Fault, Outcome};
use crate::users::{self, User};

/// Parameters by name; one that is there but empty counts as absent, and of several the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub path: Option<String>,
    pub username: Option<String>,
    pub signature: Option<String>,
    pub signature_expiration: Option<String>,
    pub mode: Option<String>,
}

impl Query {
    /// Other parameters are ignored.
    pub fn parse(uri: &Uri) -> Outcome<Self> {
        let mut query = Self::default();
        for pair in uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let field = match name {
                "path" => &mut query.path,
                "username" => &mut query.username,
                "mode" => &mut query.mode,
                "signature" => &mut query.signature,
                "signature_expiration" => &mut query.signature_expiration,
                _ => continue,
            };
            let value = decode(value).ok_or_else(|| Fault::invalid(format!("{name}: not percent-encoded UTF-8")))?;
            *field = (!value.is_empty()).then_some(value);
        }
        Ok(query)
    }

    /// Permission bits in octal digits. The others are not for an upload to set.
    pub fn mode(&self) -> Outcome<Option<u32>> {
        let Some(text) = &self.mode else {
            return Ok(None);
        };
        let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten().filter(|mode| *mode <= 0o777);
        mode.map(Some).ok_or_else(|| Fault::invalid("mode: must be octal digits from 0 to 0777"))
    }

    /// The user of the query, of the Basic credentials, or the default one. Credentials are not part of what is
    /// signed, so they mean nothing beside a signature.
    pub async fn user(&self, access: Access, headers: &HeaderMap, defaults: &SharedDefaults) -> Outcome<Arc<User>> {
        let requested = match (&self.username, access) {
            (Some(name), _) => Some(name.clone()),
            (None, Access::Token) => users::requested(headers)?,
            (None, Access::Signature) => None,
        };
        let name = requested.unwrap_or_else(|| defaults.user());
        users::blocking(move || users::resolve(&name)).await
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str) -> Outcome<Query> {
        Query::parse(&format!("/files?{query}").parse().expect("uri"))
    }

    #[test]
    fn decodes_what_browsers_and_libraries_encode() {
        let query = parse("path=%2Ftmp%2Fa+b%2Bc%C3%A9&username=user&other=x").expect("query");
        assert_eq!(query.path.as_deref(), Some("/tmp/a b+cé"));
        assert_eq!(query.username.as_deref(), Some("user"));
        assert_eq!(parse("path=&username").expect("query"), Query::default());
        assert_eq!(Query::parse(&"/files".parse().expect("uri")).expect("query"), Query::default());
    }

    #[test]
    fn a_mode_is_octal() {
        for (text, mode) in [("0", 0), ("640", 0o640), ("0755", 0o755), ("777", 0o777)] {
            assert_eq!(parse(&format!("mode={text}")).expect("query").mode().expect(text), Some(mode));
        }
        assert_eq!(parse("mode=").expect("query").mode().expect("none"), None);
        for text in ["8", "1000", "4755", "%2B7", "0o7", "rwx", "00777"] {
            assert!(parse(&format!("mode={text}")).expect("query").mode().is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_broken_encodings() {
        for query in ["path=%", "path=%zz", "path=%ff"] {
            assert!(parse(query).expect_err(query).message.starts_with("path: "));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_arrives_as_it_was(path in any::<String>(), plain: bool) {
            let encode = |byte: u8| match byte {
                b'a'..=b'z' | b'/' if plain => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            };
            let query = parse(&format!("path={}", path.bytes().map(encode).collect::<String>())).expect("query");
            prop_assert_eq!(query.path.unwrap_or_default(), path);
        }

        #[test]
        fn no_query_panics(query in "([a-z_=&%+]|%[0-9a-g]{0,2}){0,30}") {
            if let Ok(query) = parse(&query) {
                let _mode = query.mode();
            }
        }
    }
}
