//! The header of one part of a form, of which only `Content-Disposition` says something.

/// What `Content-Disposition` says of a part. `filename*` is not read: RFC 7578 section 4.2 forbids it in forms.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PartHeader {
    pub name: Option<String>,
    pub file_name: Option<String>,
}

/// `None` when the line that counts is not UTF-8. What is malformed otherwise leaves a field out.
pub fn parse(header: &[u8]) -> Option<PartHeader> {
    for line in header.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if name.trim_ascii().eq_ignore_ascii_case(b"content-disposition") {
            return std::str::from_utf8(&value[1..]).ok().map(disposition);
        }
    }
    Some(PartHeader::default())
}

/// The boundary that a request's Content-Type names.
pub fn boundary(content_type: &str) -> Option<String> {
    parameter(content_type, "boundary")
}

fn disposition(value: &str) -> PartHeader {
    PartHeader { name: parameter(value, "name"), file_name: parameter(value, "filename") }
}

/// The first parameter of this name behind what the value begins with.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = value.split_once(';')?;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = value_of(after.trim_start());
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after.trim_start().trim_start_matches(';');
    }
    None
}

/// A value in quotes or without, and what follows it. Of backslashes only those before a quote or a backslash
/// mean something: senders that do not escape put others into names.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find(';').unwrap_or(text.len()));
        return (value.trim().to_owned(), after);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => match chars.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(line: &str) -> (Option<String>, Option<String>) {
        let header = parse(format!("\r\nContent-Type: text/plain\r\n{line}").as_bytes()).expect("utf-8");
        (header.name, header.file_name)
    }

    #[test]
    fn names_come_in_many_spellings() {
        for (line, file_name) in [
            (r#"Content-Disposition: form-data; name="file"; filename="/tmp/a b.txt""#, "/tmp/a b.txt"),
            (r#"content-disposition:form-data;filename=a.txt ;name=file"#, "a.txt"),
            (r#"CONTENT-DISPOSITION: form-data; Name="file"; FileName="é;=.txt"; filename*=UTF-8''x"#, "é;=.txt"),
            (r#"Content-Disposition: form-data; name="file"; filename="a\"b\\c\d\""#, "a\"b\\c\\d\""),
            (r#"Content-Disposition: form-data; name="file"; filename="unclosed"#, "unclosed"),
            (r#"Content-Disposition: form-data; name="file"; filename="""#, ""),
        ] {
            assert_eq!(names(line), (Some("file".into()), Some(file_name.into())), "{line}");
        }
    }

    #[test]
    fn what_is_missing_is_none() {
        assert_eq!(names(r#"Content-Disposition: form-data; name="file""#), (Some("file".into()), None));
        assert_eq!(names("Content-Disposition: form-data"), (None, None));
        assert_eq!(names("no colon"), (None, None));
        assert_eq!(parse(b"Content-Disposition: form-data; name=\"\xff\""), None);
    }

    #[test]
    fn boundaries_stand_with_or_without_quotes() {
        for value in ["multipart/form-data; boundary=b-1", "Multipart/Form-Data;charset=x; Boundary=\"b-1\" "] {
            assert_eq!(boundary(value).as_deref(), Some("b-1"), "{value}");
        }
        assert_eq!(boundary("multipart/form-data"), None);
    }

    proptest! {
        #[test]
        fn what_is_escaped_arrives_as_it_was(name in "[^\r\n]{0,20}") {
            let escaped = name.replace('\\', r"\\").replace('"', "\\\"");
            let line = format!("Content-Disposition: form-data; filename=\"{escaped}\"; name=\"n\"");
            prop_assert_eq!(names(&line), (Some("n".into()), Some(name)));
        }

        #[test]
        fn no_header_panics(bytes: Vec<u8>, text in "[;=\" \\\\a-c]{0,20}") {
            parse(&bytes);
            parse(format!("Content-Disposition:{text}").as_bytes());
        }
    }
}
