//! What Wrenn adds to the E2B wire is answered only to callers that ask for it, so that others get E2B's frames
//! byte for byte.

use http::HeaderMap;

const HEADER: &str = "wrenn-extensions";

/// Whether the caller understands the fields and events with numbers from 100 on.
pub fn wanted(headers: &HeaderMap) -> bool {
    headers.get(HEADER).is_some_and(|value| value == "1")
}
