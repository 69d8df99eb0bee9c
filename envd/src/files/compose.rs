//! `POST /files/compose`: makes one file of several, in their order, and removes those. So a large file can be sent
//! in parts, several at a time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::HeaderMap;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;

use super::opened::{check_regular, open_regular};
use super::staged::Attributes;
use super::upload::entry;
use super::writer::Writer;
use crate::defaults::SharedDefaults;
use crate::fault::{Fault, Outcome};
use crate::metadata::Metadata;
use crate::reply::{self, Reply};
use crate::users::{self, User, run_as};
use crate::{body, paths};

const MAX_BODY_BYTES: usize = 4 << 20;
const MAX_SOURCES: usize = 10_000;
const FIELD: &str = "source_paths";
/// What is copied between two looks at whether the client is still there.
const STEP_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct Compose {
    source_paths: Vec<String>,
    destination: String,
    username: Option<String>,
}

/// Answers 200 `{"name","path","type":"file"}`; errors as for an upload, 404 a missing source. The destination is
/// replaced as a whole or left as it was, and until it is in its place no source is removed.
pub async fn compose(request: Request<Incoming>, defaults: &SharedDefaults) -> Outcome<Reply> {
    let (head, body) = request.into_parts();
    let bytes = body::collect(body, MAX_BODY_BYTES).await?;
    let compose: Compose = serde_json::from_slice(&bytes).map_err(|error| Fault::invalid(format!("body: {error}")))?;
    if !(1..=MAX_SOURCES).contains(&compose.source_paths.len()) {
        return Err(Fault::invalid(format!("{FIELD}: must be 1 to {MAX_SOURCES} paths")));
    }
    let user = user(compose.username, &head.headers, defaults).await?;
    let destination = paths::resolve("destination", &compose.destination, &user)?;
    let sources = compose.source_paths.iter().map(|raw| paths::resolve(FIELD, raw, &user));
    let sources: Arc<[PathBuf]> = sources.collect::<Outcome<_>>()?;

    let (checked, target) = (Arc::clone(&sources), destination.clone());
    run_as(&user, move || check(&checked, &target)).await?;
    let mut writer = Writer::create(destination, Arc::new(Attributes::default()), Arc::clone(&user)).await?;
    for source in sources.iter() {
        append(&mut writer, source.clone(), &user).await?;
    }
    let written = writer.finish().await?;
    run_as(&user, move || remove(&sources)).await?;
    Ok(reply::json(StatusCode::OK, &entry(&written, &Metadata::new())))
}

async fn user(name: Option<String>, headers: &HeaderMap, defaults: &SharedDefaults) -> Outcome<Arc<User>> {
    let name = match name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => users::requested(headers)?.unwrap_or_else(|| defaults.user()),
    };
    users::blocking(move || users::resolve(&name)).await
}

/// Finds out what would fail before anything is done. The same file under another name is the same file.
fn check(sources: &[PathBuf], destination: &Path) -> Outcome<()> {
    let taken = fs::metadata(destination).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    for source in sources {
        let metadata = fs::metadata(source).map_err(|error| source_fault(source, &error))?;
        check_regular(FIELD, source, &metadata)?;
        if source == destination || taken == Some((metadata.dev(), metadata.ino())) {
            return Err(Fault::invalid(format!("{FIELD}: {} is the destination", source.display())));
        }
    }
    Ok(())
}

async fn append(writer: &mut Writer, source: PathBuf, user: &Arc<User>) -> Outcome<()> {
    let opened = source.clone();
    let file = Arc::new(run_as(user, move || open_regular(FIELD, &opened)).await?);
    loop {
        let from = Arc::clone(&file);
        if writer.with(move |to| step(&from, to)).await? == 0 {
            return Ok(());
        }
    }
}

/// The kernel copies by itself, and shares blocks where the file system can.
fn step(from: &File, mut to: &File) -> io::Result<u64> {
    io::copy(&mut from.take(STEP_BYTES), &mut to)
}

fn remove(sources: &[PathBuf]) -> Outcome<()> {
    for source in sources {
        match fs::remove_file(source) {
            // Listed twice, or gone by itself.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let Fault { kind, message } = source_fault(source, &error);
                return Err(Fault::new(kind, format!("{message}; the destination is complete")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn source_fault(source: &Path, error: &io::Error) -> Fault {
    Fault::io(&format!("{FIELD}: {}", source.display()), error)
}
