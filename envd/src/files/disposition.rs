//! `Content-Disposition` of a download: any byte that a file's name may have is safe in it.

use std::fmt::Write as _;

use http::HeaderValue;

/// `inline`, with the name in plain ASCII, and as RFC 8187 writes it when that loses something.
pub fn inline(name: &str) -> HeaderValue {
    let plain: String = name.chars().map(|char| if is_plain(char) { char } else { '_' }).collect();
    let mut text = format!("inline; filename=\"{plain}\"");
    if plain != name {
        text.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ok = write!(text, "%{byte:02X}");
            }
        }
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("inline"))
}

fn is_plain(char: char) -> bool {
    matches!(char, ' '..='~') && !matches!(char, '"' | '\\' | '%')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_plain_is_said_twice() {
        for (name, expected) in [
            ("a b.txt", "inline; filename=\"a b.txt\""),
            ("é\".txt", "inline; filename=\"__.txt\"; filename*=UTF-8''%C3%A9%22.txt"),
            ("a\r\nb", "inline; filename=\"a__b\"; filename*=UTF-8''a%0D%0Ab"),
            ("50%", "inline; filename=\"50_\"; filename*=UTF-8''50%25"),
        ] {
            assert_eq!(inline(name), expected);
        }
    }

    proptest! {
        #[test]
        fn every_name_makes_a_header_of_plain_text(name in any::<String>()) {
            let header = inline(&name);
            let text = header.to_str().expect("ASCII");
            prop_assert!(text.starts_with("inline; filename=\""));
            prop_assert_eq!(text.matches('"').count(), 2);
        }
    }
}
