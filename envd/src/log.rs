//! One JSON object per line on stderr, which is the capsule's console. Start, stop and errors only: what
//! users run, and with which environment, is never logged.

use std::io::{self, Write};

use serde_json::json;

/// A start or a stop. Lost when the console is gone, and no error.
pub fn info(message: &str) {
    write("info", message);
}

/// Something that went wrong. Lost when the console is gone, and no error.
pub fn error(message: &str) {
    write("error", message);
}

fn write(level: &str, message: &str) {
    // Not eprintln, which panics when the console is gone.
    let _lost = writeln!(io::stderr(), "{}", json!({ "level": level, "message": message }));
}
