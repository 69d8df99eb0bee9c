//! Which encoding a download is sent in (RFC 9110 section 12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::fault::{Fault, Kind, Outcome};

/// How the bytes of a download are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
}

/// What the client prefers; without a preference the bytes as they are.
#[derive(Debug, Default)]
struct Weights {
    gzip: Option<u16>,
    identity: Option<u16>,
    /// Of every coding that is not listed.
    other: Option<u16>,
}

/// Chooses between the codings that `Accept-Encoding` allows; an error when it allows neither.
pub fn negotiate(headers: &HeaderMap) -> Outcome<Coding> {
    let mut weights = Weights::default();
    for value in headers.get_all(ACCEPT_ENCODING) {
        value.to_str().unwrap_or_default().split(',').for_each(|item| weights.note(item));
    }
    weights.choose().ok_or_else(|| {
        Fault::new(Kind::NotAcceptable, "accept-encoding: allows neither identity nor gzip, and there is nothing else")
    })
}

impl Weights {
    fn note(&mut self, item: &str) {
        let mut parts = item.split(';').map(str::trim);
        let weight = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut self.gzip,
            "identity" => &mut self.identity,
            "*" => &mut self.other,
            _ => return,
        };
        let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        *weight = Some(q.map_or(1000, thousandths));
    }

    fn choose(&self) -> Option<Coding> {
        let identity = self.identity.or(self.other.filter(|weight| *weight == 0));
        let allowed = identity != Some(0);
        match self.gzip {
            Some(gzip) if gzip > 0 && gzip >= self.identity.unwrap_or(0) => Some(Coding::Gzip),
            _ if allowed => Some(Coding::Identity),
            // Not listed, so as good as any other.
            None if self.other.unwrap_or(0) > 0 => Some(Coding::Gzip),
            Some(gzip) if gzip > 0 => Some(Coding::Gzip),
            _ => None,
        }
    }
}

/// A weight in thousandths, which are all the digits it may have. A malformed one counts as 1.
fn thousandths(text: &str) -> u16 {
    let weight = text.trim().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(1.0);
    // Within 0..=1000, see above.
    (weight * 1000.0).round() as u16
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(value: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(value).expect("value"));
        negotiate(&headers).ok()
    }

    #[test]
    fn the_heavier_one_is_chosen() {
        use Coding::{Gzip, Identity};
        for (value, coding) in [
            ("", Some(Identity)),
            ("gzip", Some(Gzip)),
            ("br, X-GZIP;q=0.1", Some(Gzip)),
            ("gzip, identity", Some(Gzip)),
            ("gzip;q=0.5, identity;q=0.6", Some(Identity)),
            ("gzip;q=0.6,identity;q=0.5,*;q=0", Some(Gzip)),
            ("gzip;q=0", Some(Identity)),
            ("br", Some(Identity)),
            ("*", Some(Identity)),
            ("*;q=0", None),
            ("*;q=0, identity;q=0.1", Some(Identity)),
            ("*, identity;q=0", Some(Gzip)),
            ("identity;q=0", None),
            ("identity;q=0, gzip;q=0.001", Some(Gzip)),
            ("identity;q=0, gzip;q=0, *", None),
            ("gzip;q=nonsense", Some(Gzip)),
            ("gzip;q=0.000", Some(Identity)),
        ] {
            assert_eq!(of(value), coding, "{value}");
        }
        assert_eq!(negotiate(&HeaderMap::new()).expect("none"), Identity);
    }

    proptest! {
        #[test]
        fn identity_is_never_chosen_where_it_is_refused(before in "[a-z*;=,q0-9. ]{0,20}") {
            prop_assume!(!before.contains("identity"));
            prop_assert_ne!(of(&format!("{before}, identity;q=0")), Some(Coding::Identity));
        }
    }
}
