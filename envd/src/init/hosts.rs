//! `/etc/hosts`, in which a machine finds itself by its own name.

use std::net::IpAddr;
use std::str;

/// The file for a machine that is called `name` and was called `former`: of the lines of loopback addresses, those that
/// had the former name have the new one, and if none had, there is a line more. All else stays as it was.
pub fn renamed(content: &[u8], former: &str, name: &str) -> Vec<u8> {
    // Every machine goes on being the local host.
    let former = if former == "localhost" { name } else { former };
    let mut found = false;
    let mut lines = Vec::with_capacity(content.len() + name.len() + 16);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let text = line.split(|byte| *byte == b'#' || *byte == b'\n').next().unwrap_or_default();
        let words: Vec<&[u8]> = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        let names_it = words.first().is_some_and(|address| is_loopback(address))
            && words.iter().skip(1).any(|word| *word == former.as_bytes() || *word == name.as_bytes());
        found |= names_it;
        if names_it {
            let new = words.iter().map(|word| if *word == former.as_bytes() { name.as_bytes() } else { word });
            lines.extend(new.collect::<Vec<_>>().join(&b' '));
            lines.extend(line.strip_prefix(text).unwrap_or_default());
        } else {
            lines.extend(line);
        }
    }
    if !found {
        if !lines.is_empty() && !lines.ends_with(b"\n") {
            lines.push(b'\n');
        }
        lines.extend(format!("127.0.0.1 {name}\n").into_bytes());
    }
    lines
}

fn is_loopback(word: &[u8]) -> bool {
    str::from_utf8(word).ok().and_then(|text| text.parse::<IpAddr>().ok()).is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(content: &str, former: &str) -> String {
        String::from_utf8(renamed(content.as_bytes(), former, "new")).expect("text")
    }

    #[test]
    fn the_new_name_takes_the_place_of_the_former_one() {
        assert_eq!(text("127.0.0.1 localhost old\n::1 localhost\n", "old"), "127.0.0.1 localhost new\n::1 localhost\n");
        assert_eq!(text("127.0.1.1\told # me\n", "old"), "127.0.1.1 new# me\n");
        assert_eq!(text("127.0.0.1 localhost new\n", "old"), "127.0.0.1 localhost new\n");
    }

    #[test]
    fn a_name_that_was_not_there_gets_a_line() {
        for (before, after) in [
            ("", "127.0.0.1 new\n"),
            ("127.0.0.1 localhost", "127.0.0.1 localhost\n127.0.0.1 new\n"),
            // Another machine's line, and a comment.
            ("10.0.0.1 old\n#127.0.0.1 old\n", "10.0.0.1 old\n#127.0.0.1 old\n127.0.0.1 new\n"),
        ] {
            assert_eq!(text(before, "old"), after, "{before}");
        }
    }

    #[test]
    fn the_local_host_keeps_its_name() {
        assert_eq!(text("127.0.0.1 localhost\n", "localhost"), "127.0.0.1 localhost\n127.0.0.1 new\n");
    }

    #[test]
    fn what_is_no_text_stays() {
        assert_eq!(renamed(b"\xff\xfe old\n", "old", "new"), b"\xff\xfe old\n127.0.0.1 new\n");
    }

    proptest! {
        #[test]
        fn the_machine_finds_itself_and_nothing_else_is_touched(
            lines in prop::collection::vec("(127.0.0.1|::1|10.0.0.1|#|\\PC{0,5})[ \t]?(old|new|local| |#){0,4}", 0..6),
            bytes: Vec<u8>,
        ) {
            for content in [lines.join("\n").into_bytes(), bytes] {
                let once = renamed(&content, "old", "new");
                prop_assert_eq!(&renamed(&once, "new", "new"), &once);
                prop_assert!(once.split(|byte| *byte == b'\n').any(|line| line.windows(3).any(|word| word == b"new")));
                let others = |content: &[u8]| -> Vec<Vec<u8>> {
                    let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
                    lines.filter(|line| line.starts_with(b"10.0.0.1")).collect()
                };
                prop_assert_eq!(others(&once), others(&content));
            }
        }
    }
}
