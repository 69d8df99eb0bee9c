//! Signatures of URLs: whoever knows the access token can let another use one file for some time.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

use super::query::Query;
use crate::secret::Secret;
use crate::token::equal;

const VERSION: &str = "v1_";

/// What is done with a file: a signature is for one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
}

/// What a signature is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    Invalid,
    Expired,
}

/// Judges the signature of `query` at `now`, in seconds since 1970. Takes the same time for every wrong one.
pub fn judge(query: &Query, operation: Operation, secret: &Secret, now: i64) -> Verdict {
    let Some(presented) = query.signature.as_deref().and_then(parse) else {
        return Verdict::Invalid;
    };
    let expires = match query.signature_expiration.as_deref().map(str::parse::<i64>) {
        None => None,
        Some(Ok(expires)) => Some(expires),
        Some(Err(_)) => return Verdict::Invalid,
    };
    if !equal(&presented, &digest(query, operation, secret, expires)) {
        return Verdict::Invalid;
    }
    if expires.is_some_and(|expires| expires < now) { Verdict::Expired } else { Verdict::Valid }
}

fn parse(signature: &str) -> Option<[u8; 32]> {
    BASE64_STANDARD_NO_PAD.decode(signature.strip_prefix(VERSION)?).ok()?.try_into().ok()
}

/// SHA-256 of `path:operation:user:token`, and `:expiration` if there is one. Path and user are those of the
/// query, empty where it has none.
fn digest(query: &Query, operation: Operation, secret: &Secret, expires: Option<i64>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(query.path.as_deref().unwrap_or_default());
    hash.update(match operation {
        Operation::Read => ":read:",
        Operation::Write => ":write:",
    });
    hash.update(query.username.as_deref().unwrap_or_default());
    hash.update(":");
    hash.update(secret.bytes());
    if let Some(expires) = expires {
        hash.update(format!(":{expires}"));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed(path: &str, user: &str, expires: Option<i64>, operation: Operation, token: &str) -> Query {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut query = Query { path: some(path), username: some(user), ..Query::default() };
        query.signature_expiration = expires.map(|expires| expires.to_string());
        let digest = digest(&query, operation, &Secret::new(token.as_bytes()), expires);
        query.signature = Some(format!("{VERSION}{}", BASE64_STANDARD_NO_PAD.encode(digest)));
        query
    }

    #[test]
    fn a_known_signature_is_what_other_implementations_make() {
        // printf '%s' '/tmp/a b:read::secret:1700000000' | openssl dgst -sha256 -binary | base64
        let query = Query {
            path: Some("/tmp/a b".into()),
            signature: Some("v1_AT0ybE0zm3Q7J43rXBe8Wg48FrN3em+yuhMk4eErLtM".into()),
            signature_expiration: Some("1700000000".into()),
            ..Query::default()
        };
        let secret = Secret::new(b"secret");
        assert_eq!(judge(&query, Operation::Read, &secret, 1_700_000_000), Verdict::Valid);
        assert_eq!(judge(&query, Operation::Read, &secret, 1_700_000_001), Verdict::Expired);
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let good = signed("/a", "", None, Operation::Read, "token");
        let text = good.signature.clone().expect("signed");
        for bad in [None, Some(""), Some("v1_"), Some(&text[3..]), Some(&*format!("{text}=")), Some(&text[..45])] {
            let query = Query { signature: bad.map(str::to_owned), ..good.clone() };
            assert_eq!(judge(&query, Operation::Read, &Secret::new(b"token"), 0), Verdict::Invalid, "{bad:?}");
        }
        let query = Query { signature_expiration: Some("soon".into()), ..good };
        assert_eq!(judge(&query, Operation::Read, &Secret::new(b"token"), 0), Verdict::Invalid);
    }

    proptest! {
        #[test]
        fn the_signed_query_is_accepted_and_no_other(
            path in ".{0,20}", user in "[a-z]{0,4}", token in "[!-~]{1,20}", expires in any::<Option<i64>>(),
            other_path in ".{0,20}", other_user in "[a-z]{0,4}", other_token in "[!-~]{1,20}", other in any::<Option<i64>>(),
        ) {
            let now = i64::MIN;
            let secret = Secret::new(token.as_bytes());
            let query = signed(&path, &user, expires, Operation::Write, &token);
            prop_assert_eq!(judge(&query, Operation::Write, &secret, now), Verdict::Valid);
            prop_assert_eq!(judge(&query, Operation::Read, &secret, now), Verdict::Invalid);
            if let Some(expires) = expires.filter(|expires| *expires < i64::MAX) {
                prop_assert_eq!(judge(&query, Operation::Write, &secret, expires + 1), Verdict::Expired);
            }
            // A ':' in path or user lets two queries mean the same text, as the format has it.
            prop_assume!(!path.contains(':') && !other_path.contains(':'));
            for changed in [
                Query { path: Some(other_path.clone()), ..query.clone() },
                Query { username: Some(other_user.clone()), ..query.clone() },
                Query { signature_expiration: other.map(|other| other.to_string()), ..query.clone() },
            ] {
                let same = changed.path.as_deref().unwrap_or_default() == path
                    && changed.username.as_deref().unwrap_or_default() == user
                    && changed.signature_expiration == query.signature_expiration;
                let expected = if same { Verdict::Valid } else { Verdict::Invalid };
                prop_assert_eq!(judge(&changed, Operation::Write, &secret, now), expected);
            }
            let other_secret = Secret::new(other_token.as_bytes());
            prop_assert_eq!(judge(&query, Operation::Write, &other_secret, now) == Verdict::Valid, token == other_token);
        }

        #[test]
        fn nothing_that_is_presented_panics(signature in ".*", expires in ".{0,30}") {
            let query = Query { signature: Some(signature), signature_expiration: Some(expires), ..Query::default() };
            prop_assert_eq!(judge(&query, Operation::Read, &Secret::new(b"t"), 0), Verdict::Invalid);
        }
    }
}
