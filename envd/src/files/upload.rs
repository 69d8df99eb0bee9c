//! `POST /files?path&username&mode`: a raw body, or a form with files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Admitted;
use super::form::{Form, boundary};
use super::intake::Intake;
use super::source::Source;
use super::staged::Attributes;
use super::writer::Writer;
use crate::defaults::SharedDefaults;
use crate::fault::{Fault, Outcome};
use crate::metadata::{self, Metadata};
use crate::paths;
use crate::reply::{self, Reply};

/// Answers 200 `[{"name","path","type":"file","metadata"?}]`; 400 not a possible target, 401 unknown user, 403 not
/// permitted, 507 no space. A target is replaced as a whole or left as it was.
pub async fn upload(request: Admitted, body: Intake, defaults: &SharedDefaults) -> Outcome<Reply> {
    let Admitted { query, headers, access } = request;
    let kind = kind(&headers)?;
    let body = Source::new(&headers, body)?;
    let attributes = Arc::new(Attributes { mode: query.mode()?, metadata: metadata::parse(&headers)? });
    let user = query.user(access, &headers, defaults).await?;
    let written = match kind {
        Kind::Raw => {
            let path = query.path.as_deref().ok_or_else(|| Fault::invalid("path: must be set"))?;
            let target = paths::resolve("path", path, &user)?;
            let writer = Writer::create(target, Arc::clone(&attributes), user).await?;
            vec![raw(body, writer).await?]
        }
        Kind::Form(boundary) => Form::new(query.path, Arc::clone(&attributes), user).receive(body, &boundary).await?,
    };
    let entries = written.iter().map(|path| entry(path, &attributes.metadata)).collect();
    Ok(reply::json(StatusCode::OK, &Value::Array(entries)))
}

enum Kind {
    Raw,
    Form(String),
}

fn kind(headers: &HeaderMap) -> Outcome<Kind> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/octet-stream") {
        return Ok(Kind::Raw);
    }
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        return boundary(content_type).map(Kind::Form).ok_or_else(|| Fault::invalid("content-type: has no boundary"));
    }
    Err(Fault::invalid("content-type: must be application/octet-stream or multipart/form-data"))
}

async fn raw(mut body: Source, mut writer: Writer) -> Outcome<PathBuf> {
    while let Some(bytes) = body.next().await? {
        writer.write(bytes).await?;
    }
    writer.finish().await
}

/// A written file as the answer shows it.
pub fn entry(path: &Path, metadata: &Metadata) -> Value {
    let mut entry = json!({ "name": paths::name(path), "path": paths::display(path), "type": "file" });
    if !metadata.is_empty() {
        entry["metadata"] = json!(metadata);
    }
    entry
}
