//! Generates messages and service traits from the protos that all languages of the project share.
//! The parser is Rust, so a build needs no `protoc`.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../packages/contracts/proto");
    let files = ["process/process.proto", "filesystem/filesystem.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={}", root.join(file).display());
    }

    let set = protox::Compiler::new([&root])?
        .include_imports(true)
        .include_source_info(false)
        .open_files(files)?
        .encode_file_descriptor_set();
    let path = PathBuf::from(std::env::var("OUT_DIR")?).join("protos.bin");
    std::fs::write(&path, set)?;

    connectrpc_build::Config::new()
        .files(&files)
        .includes(&[&root])
        .descriptor_set(&path)
        .emit_register_fn(false)
        // Its own would name paths relative to the protos, which cargo takes as missing and rebuilds each time.
        .emit_rerun_directives(false)
        .include_file("protos.rs")
        .compile()?;
    Ok(())
}
