//! How often a silent stream says that it lives.

use std::time::Duration;

use http::HeaderMap;

const HEADER: &str = "keepalive-ping-interval";
const DEFAULT: Duration = Duration::from_secs(90);
const MAX: Duration = Duration::from_secs(3600);

/// The pause after which a silent stream says that it lives: whole seconds in a header, 90 when there is none.
pub fn interval(headers: &HeaderMap) -> Duration {
    let asked = headers.get(HEADER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match asked {
        None | Some(0) => DEFAULT,
        Some(seconds) => Duration::from_secs(seconds).min(MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keepalive_interval_is_the_clients_within_reason() {
        let ask = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, http::HeaderValue::from_static(value));
            interval(&headers).as_secs()
        };
        assert_eq!(interval(&HeaderMap::new()), DEFAULT);
        assert_eq!((ask("50"), ask("0"), ask("soon"), ask("99999999")), (50, 90, 90, 3600));
    }
}
