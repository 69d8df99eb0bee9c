//! Files in a `multipart/form-data` body: the parts called `file`; others are skipped.

use std::path::PathBuf;
use std::sync::Arc;

use multer::{Field, Multipart};

use super::intake::Intake;
use super::staged::Attributes;
use super::writer::Writer;
use crate::fault::{Fault, Outcome};
use crate::paths;
use crate::users::User;

const PART: &str = "file";

/// Writes each part to `path`, or to its own file name when there is none. Each file is replaced as a whole;
/// the parts before a failing one stay.
pub async fn receive(
    body: Intake,
    boundary: String,
    path: Option<&str>,
    attributes: &Arc<Attributes>,
    user: Arc<User>,
) -> Outcome<Vec<PathBuf>> {
    let mut form = Multipart::new(body, boundary);
    let mut written = Vec::new();
    while let Some(part) = form.next_field().await.map_err(malformed)? {
        if part.name() != Some(PART) {
            continue;
        }
        let raw = path.or(part.file_name()).filter(|raw| !raw.is_empty());
        let raw = raw.ok_or_else(|| Fault::invalid("file: needs a filename when the query has no path"))?;
        let target = paths::resolve("path", raw, &user)?;
        if written.contains(&target) {
            return Err(Fault::invalid(format!("file: two parts for {}", target.display())));
        }
        let writer = Writer::create(target, Arc::clone(attributes), Arc::clone(&user)).await?;
        written.push(write(part, writer).await?);
    }
    if written.is_empty() {
        return Err(Fault::invalid(format!("body: has no part called '{PART}'")));
    }
    Ok(written)
}

async fn write(mut part: Field<'_>, mut writer: Writer) -> Outcome<PathBuf> {
    while let Some(bytes) = part.chunk().await.map_err(malformed)? {
        writer.write(bytes).await?;
    }
    writer.finish().await
}

fn malformed(_: multer::Error) -> Fault {
    Fault::invalid("body: broke off, or is not the multipart/form-data that its content-type says")
}
