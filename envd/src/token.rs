//! The access token. Of the boot token only the SHA-256 is known: the kernel command line is world-readable, so
//! the token itself never appears there. A token that `/init` brings is kept as it is, because signatures of URLs
//! are made with it.

use std::sync::Mutex;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::lock::lock;
use crate::secret::Secret;

/// The header that carries the token, in lower case as HTTP/2 has it.
pub const HEADER: &str = "x-access-token";

/// The SHA-256 of a token.
pub type TokenDigest = [u8; 32];

/// The token in force; replacing it ends the old one at once.
pub struct Token(Mutex<Held>);

struct Held {
    digest: TokenDigest,
    secret: Option<Secret>,
}

impl Token {
    /// The token of the boot, known by its digest alone.
    pub fn new(digest: TokenDigest) -> Self {
        Self(Mutex::new(Held { digest, secret: None }))
    }

    /// Puts `secret` in force. From now on it makes the signatures too; those of the old one are void.
    pub fn replace(&self, secret: Secret) {
        *lock(&self.0) = Held { digest: digest(secret.bytes()), secret: Some(secret) };
    }

    /// The token itself; `None` while it is the one of the boot.
    pub fn secret(&self) -> Option<Secret> {
        lock(&self.0).secret.clone()
    }

    /// Whether the request carries the token. Takes the same time for every wrong token.
    pub fn accepts(&self, headers: &HeaderMap) -> bool {
        let Some(presented) = headers.get(HEADER) else {
            return false;
        };
        equal(&digest(presented.as_bytes()), &lock(&self.0).digest)
    }
}

/// The SHA-256 of `token`.
pub fn digest(token: &[u8]) -> TokenDigest {
    Sha256::digest(token).into()
}

/// 64 hex digits, or nothing.
pub fn parse_digest(hex: &str) -> Option<TokenDigest> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(digest)
}

/// Compares in the same time wherever the two differ.
pub fn equal(left: &TokenDigest, right: &TokenDigest) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_64_hex_digits_of_either_case_and_nothing_else() {
        assert_eq!(parse_digest(EMPTY), Some(digest(b"")));
        assert_eq!(parse_digest(&EMPTY.to_uppercase()), Some(digest(b"")));
        assert_eq!(parse_digest(&EMPTY[1..]), None);
        assert_eq!(parse_digest(&EMPTY.replace('e', "g")), None);
        assert_eq!(parse_digest(&"é".repeat(32)), None);
    }

    #[test]
    fn a_replaced_token_stops_working_at_once() {
        let token = Token::new(digest(b"old"));
        let mut headers = HeaderMap::new();
        assert!(!token.accepts(&headers));
        headers.insert(HEADER, http::HeaderValue::from_static("old"));
        assert!(token.accepts(&headers));
        assert_eq!(token.secret(), None);
        token.replace(Secret::new(b"new"));
        assert_eq!(token.secret().expect("kept").bytes(), b"new");
        assert!(!token.accepts(&headers));
        headers.insert(HEADER, http::HeaderValue::from_static("new"));
        assert!(token.accepts(&headers));
    }
}
