//! Paths of requests: absolute, or relative to the user's home.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Outcome};
use crate::users::User;

/// Makes `raw` absolute. `field` is what an error names. `..` stays for the kernel to follow, because taking
/// it out of the text is wrong where the part before it is a symbolic link.
pub fn resolve(field: &str, raw: &str, user: &User) -> Outcome<PathBuf> {
    if raw.is_empty() {
        return Err(Fault::invalid(format!("{field}: must not be empty")));
    }
    if raw.contains('\0') {
        return Err(Fault::invalid(format!("{field}: must not contain a NUL byte")));
    }
    let relative = match raw.strip_prefix('~') {
        Some("") => "",
        Some(rest) if rest.starts_with('/') => rest.trim_start_matches('/'),
        Some(_) => return Err(Fault::invalid(format!("{field}: only '~/' for the own home is understood"))),
        None => raw,
    };
    // Joining an absolute path replaces the home; collecting drops '.' and doubled slashes.
    Ok(user.home.join(relative).components().collect())
}

/// The path as text for an answer; bytes that are not UTF-8 show as the replacement character.
pub fn display(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The last component, `/` for the root.
pub fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(OsStr::from_bytes(b"/"));
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user() -> User {
        User {
            name: "user".into(),
            uid: 1000,
            gid: 1000,
            groups: vec![1000],
            home: "/home/user".into(),
            shell: "/bin/sh".into(),
        }
    }

    #[test]
    fn resolves_against_the_home() {
        for (raw, expected) in [
            ("/a//b/./c/", "/a/b/c"),
            ("x/y", "/home/user/x/y"),
            ("./x", "/home/user/x"),
            ("~", "/home/user"),
            ("~/x", "/home/user/x"),
            ("~//x", "/home/user/x"),
            ("a~", "/home/user/a~"),
            ("/a/../b", "/a/../b"),
        ] {
            assert_eq!(resolve("path", raw, &user()).expect(raw), PathBuf::from(expected), "{raw}");
        }
    }

    #[test]
    fn refuses_what_no_file_can_be_called() {
        for raw in ["", "a\0b", "~other/x"] {
            let fault = resolve("path", raw, &user()).expect_err(raw);
            assert!(fault.message.starts_with("path: "), "{}", fault.message);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_resolved_is_absolute_and_says_the_same_again(raw in "(~?/)?[a~./ \\PC]{0,20}", any: String) {
            for raw in [raw, any] {
                let Ok(path) = resolve("path", &raw, &user()) else {
                    prop_assert!(raw.is_empty() || raw.contains('\0') || raw.starts_with('~'));
                    continue;
                };
                prop_assert!(path.is_absolute());
                prop_assert!(raw.starts_with('/') || path.starts_with("/home/user"));
                let parents = |path: &Path| path.components().filter(|part| part.as_os_str() == "..").count();
                prop_assert_eq!(parents(&path), parents(Path::new(&raw)));
                prop_assert_eq!(resolve("path", &display(&path), &user()).expect("again"), path);
            }
        }
    }
}
