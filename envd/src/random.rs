//! Random bytes of the kernel, for names that nobody must guess.

use std::io;

/// `N` random bytes, at most 256: so few come whole or not at all.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= 256) };
    let mut bytes = [0_u8; N];
    // SAFETY: pointer and length describe one live buffer.
    let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    if length < 0 { Err(io::Error::last_os_error()) } else { Ok(bytes) }
}
