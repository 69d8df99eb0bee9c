//! A secret in memory: wiped when it goes, and never printed.

use std::fmt;
use std::sync::atomic::{Ordering, compiler_fence};

/// Bytes that nobody else may learn. Comparing two takes longer the more they have in common: what a client presents is
/// compared by digest, see [`crate::token::equal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Copies the bytes; the caller's are not wiped.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The secret itself. Copies that are made of it are not wiped.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The bytes are not copied, if the vector has no capacity beyond them.
impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into_boxed_slice())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        for byte in &mut self.0 {
            // SAFETY: the reference is valid for writes. Volatile, so that a store before a free is not left out.
            unsafe { std::ptr::write_volatile(byte, 0) };
        }
        compiler_fence(Ordering::SeqCst);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}
