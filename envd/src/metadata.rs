//! What a client has attached to a file: text under a name, kept as extended attributes below `user.wrenn.`.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use http::HeaderMap;

use crate::fault::{Fault, Kind, Outcome};

const HEADER_PREFIX: &str = "x-metadata-";
const ATTRIBUTE_PREFIX: &str = "user.wrenn.";
/// With these two limits everything fits the one block that ext4 has for a file's attributes.
const MAX_KEYS: usize = 32;
const MAX_BYTES: usize = 2048;
/// `XATTR_NAME_MAX` of Linux without our prefix.
const MAX_KEY_BYTES: usize = 255 - ATTRIBUTE_PREFIX.len();
/// `XATTR_LIST_MAX` of Linux.
const MAX_LIST_BYTES: usize = 64 << 10;
/// What is shown of attributes that others have set, who need not keep our limits.
const MAX_SHOWN_BYTES: usize = 16 << 10;

/// Values by name, without the prefix that a name has in a header or an attribute.
pub type Metadata = BTreeMap<String, String>;

/// The metadata that a request's `X-Metadata-*` headers carry. Names are in lower case, as HTTP leaves them; of
/// several headers with one name the first counts.
pub fn parse(headers: &HeaderMap) -> Outcome<Metadata> {
    let mut metadata = Metadata::new();
    for name in headers.keys() {
        let Some(key) = name.as_str().strip_prefix(HEADER_PREFIX).filter(|key| !key.is_empty()) else {
            continue;
        };
        let value = headers.get(name).map(http::HeaderValue::as_bytes).unwrap_or_default();
        if key.len() > MAX_KEY_BYTES {
            return Err(Fault::invalid(format!("{name}: the key must be at most {MAX_KEY_BYTES} characters")));
        }
        if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Fault::invalid(format!("{name}: must be printable ASCII")));
        }
        metadata.insert(key.to_owned(), String::from_utf8_lossy(value).into_owned());
    }
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata.len() > MAX_KEYS || bytes > MAX_BYTES {
        return Err(Fault::invalid(format!("x-metadata: at most {MAX_KEYS} keys and {MAX_BYTES} bytes in total")));
    }
    Ok(metadata)
}

/// Attaches `metadata` to a file that has none yet. Blocks.
pub fn write(file: &File, path: &Path, metadata: &Metadata) -> Outcome<()> {
    for (key, value) in metadata {
        set(file, key, value.as_bytes()).map_err(|error| fault(path, &error))?;
    }
    Ok(())
}

/// The metadata of `path` itself, not of what a link leads to. Empty where there is none, where the file system
/// keeps none, and where the user may not see it. Blocks.
pub fn read(path: &Path) -> Metadata {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return Metadata::new();
    };
    let mut shown = 0;
    let mut metadata = Metadata::new();
    for name in names(&path).split(|byte| *byte == 0) {
        let Some(key) = name.strip_prefix(ATTRIBUTE_PREFIX.as_bytes()).filter(|key| !key.is_empty()) else {
            continue;
        };
        let Some(value) = CString::new(name).ok().and_then(|name| value(&path, &name)) else {
            continue;
        };
        shown += key.len() + value.len();
        if shown > MAX_SHOWN_BYTES {
            break;
        }
        metadata.insert(String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(&value).into_owned());
    }
    metadata
}

fn fault(path: &Path, error: &io::Error) -> Fault {
    if error.raw_os_error() == Some(libc::EOPNOTSUPP) {
        let message = format!("x-metadata: the file system of {} keeps no metadata", path.display());
        return Fault::new(Kind::FailedPrecondition, message);
    }
    Fault::io("x-metadata", error)
}

fn set(file: &File, key: &str, value: &[u8]) -> io::Result<()> {
    let name = CString::new(format!("{ATTRIBUTE_PREFIX}{key}"))?;
    // SAFETY: the name is NUL-terminated, pointer and length describe one live slice, the descriptor is open.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The names of all attributes, each ended by a zero.
fn names(path: &CStr) -> Vec<u8> {
    // SAFETY: the path is NUL-terminated; the kernel writes at most `size` bytes, which the caller owns.
    let list = |buffer: *mut u8, size| unsafe { libc::llistxattr(path.as_ptr(), buffer.cast(), size) };
    fetch(list, MAX_LIST_BYTES).unwrap_or_default()
}

fn value(path: &CStr, name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: both strings are NUL-terminated; the kernel writes at most `size` bytes, which the caller owns.
    let get = |buffer: *mut u8, size| unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), buffer.cast(), size) };
    fetch(get, MAX_SHOWN_BYTES)
}

/// Lets the kernel fill a buffer; `None` when it fails or has more than `limit`. Most files have nothing, so a
/// little is tried first.
fn fetch(call: impl Fn(*mut u8, usize) -> isize, limit: usize) -> Option<Vec<u8>> {
    let mut little = [0_u8; 256];
    if let Ok(length) = usize::try_from(call(little.as_mut_ptr(), little.len())) {
        return little.get(..length).map(<[u8]>::to_vec);
    }
    if io::Error::last_os_error().raw_os_error() != Some(libc::ERANGE) {
        return None;
    }
    let mut buffer = vec![0; limit];
    let length = usize::try_from(call(buffer.as_mut_ptr(), buffer.len())).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("name");
            headers.append(name, HeaderValue::from_str(value).expect("value"));
        }
        headers
    }

    #[test]
    fn takes_the_headers_with_the_prefix() {
        let fields = [
            ("X-Metadata-Author", "first"),
            ("x-metadata-author", "second"),
            ("x-metadata-a.b_c", ""),
            ("x-metadata-", "no key"),
            ("x-access-token", "other"),
        ];
        let metadata = parse(&headers(&fields)).expect("valid");
        let expected = [("a.b_c".to_owned(), String::new()), ("author".to_owned(), "first".to_owned())];
        assert_eq!(metadata.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn refuses_what_would_not_fit() {
        let long_key = format!("x-metadata-{}", "k".repeat(MAX_KEY_BYTES + 1));
        let long_value = "v".repeat(MAX_BYTES);
        let many: Vec<_> = (0..=MAX_KEYS).map(|number| format!("x-metadata-{number}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
        for fields in [&[(long_key.as_str(), "")], &[("x-metadata-k", long_value.as_str())], many.as_slice()] {
            assert!(parse(&headers(fields)).expect_err("refused").message.starts_with("x-metadata"));
        }
        for value in ["tab\there", "\u{e9}"] {
            let mut headers = HeaderMap::new();
            headers.insert("x-metadata-k", HeaderValue::from_bytes(value.as_bytes()).expect("value"));
            assert!(parse(&headers).expect_err("refused").message.starts_with("x-metadata-k: "));
        }
    }

    #[test]
    fn the_most_that_is_allowed_fits_and_is_read_again() {
        let path = std::env::temp_dir().join(format!("envd-metadata-{}", std::process::id()));
        let file = File::create(&path).expect("file");
        let value = "v".repeat(MAX_BYTES / MAX_KEYS - 2);
        let metadata: Metadata = (0..MAX_KEYS).map(|number| (format!("{number:02}"), value.clone())).collect();
        write(&file, &path, &metadata).expect("written");
        set(&file, "../other", b"\xff").expect("set");
        let mut expected = metadata;
        expected.insert("../other".into(), "\u{fffd}".into());
        assert_eq!(read(&path), expected);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(read(&path), Metadata::new());
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_within_the_limits(
            fields in prop::collection::vec(("x-metadata-[a-z]{0,2}(k{245})?", "[ -~]{0,100}é?"), 0..40),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                let (name, value) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()));
                if let (Ok(name), Ok(value)) = (name, value) {
                    headers.append(name, value);
                }
            }
            if let Ok(metadata) = parse(&headers) {
                let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
                prop_assert!(metadata.len() <= MAX_KEYS && bytes <= MAX_BYTES);
                prop_assert!(metadata.keys().all(|key| key.len() <= MAX_KEY_BYTES));
                prop_assert!(metadata.values().all(|value| value.is_ascii()));
            }
        }
    }
}
