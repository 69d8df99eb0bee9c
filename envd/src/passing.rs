//! Names of files while they are made, beside the place that they take by a rename. A watcher knows them by their
//! form: it hides them, and reports the rename as the write that it is.

use std::ffi::CString;
use std::io;

use crate::random;

const PREFIX: &str = ".envd-";
const SUFFIX: &str = ".part";
const RANDOM_BYTES: usize = 8;

/// What the rename will do to its target. Part of the name, because nothing else tells a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing has the target's name yet.
    Create,
    /// The target is there and gets new content.
    Replace,
    /// Not an arrival: something is put aside on its way out.
    Aside,
}

const WORDS: [(Purpose, &str); 3] =
    [(Purpose::Create, "create-"), (Purpose::Replace, "replace-"), (Purpose::Aside, "aside-")];

impl Purpose {
    /// A name for this purpose. Random, because a file of this kind may be left from before a crash.
    pub fn new_name(self) -> io::Result<CString> {
        let random: [u8; RANDOM_BYTES] = random::bytes()?;
        let word = WORDS.iter().find(|(purpose, _)| *purpose == self).map_or("", |(_, word)| word);
        Ok(CString::new(format!("{PREFIX}{word}{:016x}{SUFFIX}", u64::from_ne_bytes(random)))?)
    }

    /// The purpose of a file with this name, if it is a passing one.
    pub fn of(name: &[u8]) -> Option<Self> {
        let inner = name.strip_prefix(PREFIX.as_bytes())?.strip_suffix(SUFFIX.as_bytes())?;
        let (purpose, random) =
            WORDS.iter().find_map(|(purpose, word)| Some((*purpose, inner.strip_prefix(word.as_bytes())?)))?;
        (random.len() == 2 * RANDOM_BYTES && random.iter().all(u8::is_ascii_hexdigit)).then_some(purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_purpose() {
        for (purpose, _) in WORDS {
            let (one, other) = (purpose.new_name().expect("name"), purpose.new_name().expect("name"));
            assert_ne!(one, other);
            assert_eq!(Purpose::of(one.as_bytes()), Some(purpose));
        }
    }

    #[test]
    fn names_of_others_have_none() {
        for name in ["", ".envd-", ".envd-create-.part", ".envd-create-0123456789abcdeg.part", "x.part", ".envd-0.part"]
        {
            assert_eq!(Purpose::of(name.as_bytes()), None, "{name}");
        }
    }
}
