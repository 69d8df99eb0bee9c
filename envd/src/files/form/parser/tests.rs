use proptest::prelude::*;

use super::*;

type Part = (Option<String>, Option<String>, Vec<u8>);

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Complete,
    BrokeOff,
    Malformed(Malformed),
}

/// Feeds the pieces one by one and collects what comes out.
fn parts<'a>(boundary: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Part>, Outcome) {
    let mut parser = Parser::new(boundary).expect("boundary");
    let mut pieces = pieces.into_iter();
    let (mut complete, mut open) = (Vec::new(), None::<Part>);
    loop {
        match parser.next() {
            Ok(Event::Part(header)) => open = Some((header.name, header.file_name, Vec::new())),
            Ok(Event::Content(bytes)) => open.as_mut().expect("content is inside a part").2.extend(bytes),
            Ok(Event::PartEnd) => complete.push(open.take().expect("an end is inside a part")),
            Ok(Event::End) => return (complete, Outcome::Complete),
            Ok(Event::Starved) => match pieces.next() {
                Some(piece) => parser.feed(piece),
                None => return (complete, Outcome::BrokeOff),
            },
            Err(malformed) => return (complete, Outcome::Malformed(malformed)),
        }
    }
}

fn whole(text: &str) -> (Vec<Part>, Outcome) {
    parts("B", [text.as_bytes()])
}

fn part(content: &str) -> Part {
    (Some("file".into()), None, content.as_bytes().to_vec())
}

const HEADER: &str = "Content-Disposition: form-data; name=\"file\"";

#[test]
fn what_stands_around_the_parts_means_nothing() {
    let text =
        format!("preamble\r\n--B \t\r\n{HEADER}\r\n\r\none\r\n--B\r\n{HEADER}\r\n\r\n\r\n--B--\r\nepilogue\r\n--B\r\n");
    assert_eq!(whole(&text), (vec![part("one"), part("")], Outcome::Complete));
    assert_eq!(whole("--B--"), (vec![], Outcome::Complete));
}

#[test]
fn what_only_looks_like_a_boundary_is_content() {
    let content = "--B\r\n--\r\n\r\n--BB\r\n--B-\r\n--B x\r\n--b--";
    let text = format!("--B\r\n{HEADER}\r\n\r\n{content}\r\n--B--");
    assert_eq!(whole(&text), (vec![part(content)], Outcome::Complete));
}

#[test]
fn a_part_needs_no_header_but_an_end() {
    assert_eq!(whole("--B\r\n\r\nx\r\n--B--"), (vec![(None, None, b"x".to_vec())], Outcome::Complete));
    assert_eq!(whole("--B\r\n\r\nx\r\n--B\r\n\r\ny"), (vec![(None, None, b"x".to_vec())], Outcome::BrokeOff));
    assert_eq!(whole("nothing"), (vec![], Outcome::BrokeOff));
}

#[test]
fn a_header_is_bounded_however_it_comes() {
    let line = format!("X: {}\r\n", "x".repeat(1000));
    let long = format!("--B\r\n{}", line.repeat(17));
    assert_eq!(whole(&long).1, Outcome::Malformed(Malformed::HeaderTooLong));
    assert_eq!(whole(&format!("{long}\r\n\r\n--B--")).1, Outcome::Malformed(Malformed::HeaderTooLong));
    assert_eq!(parts("B", long.as_bytes().chunks(7)).1, Outcome::Malformed(Malformed::HeaderTooLong));
}

#[test]
fn boundaries_are_checked() {
    let longest = "b".repeat(MAX_BOUNDARY_BYTES);
    assert!(Parser::new(&longest).is_some() && Parser::new("with space").is_some());
    for boundary in ["", "a\r\nb", "\u{e9}", &format!("{longest}b")] {
        assert!(Parser::new(boundary).is_none(), "{boundary:?}");
    }
}

/// Bytes that come close to delimiters often.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\r\n--".to_vec()),
        Just(b"\r\n--BOUN".to_vec()),
        Just(b"--BOUND--".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn split<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut from = 0;
    places.into_iter().map(|to| &bytes[std::mem::replace(&mut from, to)..to]).collect()
}

proptest! {
    #[test]
    fn any_content_split_anywhere_arrives_as_it_was(
        contents in proptest::collection::vec(content(), 0..4), cuts: [prop::sample::Index; 6], every_byte: bool,
    ) {
        let delimiter = b"\r\n--BOUND";
        prop_assume!(contents.iter().all(|content| !content.windows(delimiter.len()).any(|window| window == delimiter)));
        let mut body = Vec::new();
        for content in &contents {
            body.extend_from_slice(format!("--BOUND\r\n{HEADER}\r\n\r\n").as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--BOUND--\r\n");
        let pieces = if every_byte { body.chunks(1).collect() } else { split(&body, &cuts) };
        let expected: Vec<_> = contents.into_iter().map(|content| (Some("file".into()), None, content)).collect();
        prop_assert_eq!(parts("BOUND", pieces), (expected, Outcome::Complete));
    }

    #[test]
    fn garbage_is_refused_in_the_same_way_however_it_is_split(
        start in prop_oneof![Just(&b""[..]), Just(&b"--BOUND\r\n"[..]), Just(&b"--BOUND\r\n\r\n"[..])],
        garbage in content(), cuts: [prop::sample::Index; 3],
    ) {
        let body = [start, &garbage].concat();
        prop_assert_eq!(parts("BOUND", split(&body, &cuts)), parts("BOUND", [body.as_slice()]));
    }
}
