//! Who may use `/files`: whoever presents the access token, or a signature of the very query.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;

use super::query::Query;
use super::signature::{Operation, Verdict, judge};
use crate::fault::{Fault, Kind, Outcome};
use crate::token::{HEADER, Token};

/// What a request was admitted by. A signature gives the rights of the user it names and of no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Token,
    Signature,
}

/// A token that is presented must be right, whatever else the request carries.
pub fn admit(headers: &HeaderMap, query: &Query, operation: Operation, token: &Token) -> Outcome<Access> {
    if token.accepts(headers) {
        return Ok(Access::Token);
    }
    if headers.contains_key(HEADER) {
        return Err(refused("x-access-token: wrong"));
    }
    if query.signature.is_none() {
        return Err(refused("x-access-token: missing, and no signature in the query"));
    }
    let Some(secret) = token.secret() else {
        return Err(refused("signature: none is accepted before the first /init"));
    };
    match judge(query, operation, &secret, now()) {
        Verdict::Valid => Ok(Access::Signature),
        Verdict::Invalid => Err(refused("signature: invalid")),
        // Clients know this text.
        Verdict::Expired => Err(refused("signature is already expired")),
    }
}

fn refused(message: &str) -> Fault {
    Fault::new(Kind::Unauthenticated, message)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::secret::Secret;
    use crate::token::digest;

    #[test]
    fn a_wrong_token_is_refused_even_beside_a_signature_and_a_boot_token_signs_nothing() {
        let token = Token::new(digest(b"boot"));
        let query = Query { signature: Some("v1_x".into()), ..Query::default() };
        let mut headers = HeaderMap::new();
        let admitted = |headers: &HeaderMap, token: &Token| admit(headers, &query, Operation::Read, token);
        assert!(admitted(&headers, &token).expect_err("boot").message.contains("/init"));
        token.replace(Secret::new(b"later"));
        assert_eq!(admitted(&headers, &token).expect_err("signature").message, "signature: invalid");
        headers.insert(HEADER, HeaderValue::from_static("wrong"));
        assert_eq!(admitted(&headers, &token).expect_err("token").message, "x-access-token: wrong");
        headers.insert(HEADER, HeaderValue::from_static("later"));
        assert_eq!(admitted(&headers, &token).expect("token"), Access::Token);
    }
}
