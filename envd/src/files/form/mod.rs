//! Files in a `multipart/form-data` body: the parts called `file`; others are skipped.

mod parser;
mod part_header;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use self::parser::{Event, Malformed, Parser};
use self::part_header::PartHeader;
pub use self::part_header::boundary;
use super::source::Source;
use super::staged::Attributes;
use super::writer::Writer;
use crate::fault::{Fault, Outcome};
use crate::paths;
use crate::users::User;

const PART: &str = "file";
const MAX_FILES: usize = 10_000;

/// A form on its way in. Each of its files is replaced as a whole; those before a failing one stay.
pub struct Form {
    /// Where the file goes; without it each part's file name says so.
    path: Option<String>,
    attributes: Arc<Attributes>,
    user: Arc<User>,
    targets: BTreeSet<PathBuf>,
    written: Vec<PathBuf>,
    open: Option<Writer>,
    /// Complete, but not in its place before the next one begins: the last one must wait for the end of the body,
    /// where a checksum may be.
    complete: Option<Writer>,
}

impl Form {
    /// A form of which nothing was received. The files get `attributes`, and belong to `user`.
    pub fn new(path: Option<String>, attributes: Arc<Attributes>, user: Arc<User>) -> Self {
        let (targets, written) = (BTreeSet::new(), Vec::new());
        Self { path, attributes, user, targets, written, open: None, complete: None }
    }

    /// Writes each part that is a file, and answers where they are.
    pub async fn receive(mut self, mut body: Source, boundary: &str) -> Outcome<Vec<PathBuf>> {
        let malformed = || Fault::invalid("content-type: has no boundary that a form can have");
        let mut parser = Parser::new(boundary).ok_or_else(malformed)?;
        loop {
            match parser.next().map_err(refused)? {
                Event::Part(header) => self.begin(header).await?,
                Event::Content(bytes) => {
                    if let Some(writer) = &mut self.open {
                        writer.write(bytes).await?;
                    }
                }
                Event::PartEnd => self.complete = self.open.take().or(self.complete.take()),
                Event::Starved => {
                    let bytes = body.next().await?.ok_or_else(|| Fault::invalid("body: ends within the form"))?;
                    parser.feed(&bytes);
                }
                Event::End => break,
            }
        }
        while body.next().await?.is_some() {}
        self.place().await?;
        if self.written.is_empty() {
            return Err(Fault::invalid(format!("body: has no part called '{PART}'")));
        }
        Ok(self.written)
    }

    async fn begin(&mut self, header: PartHeader) -> Outcome<()> {
        if header.name.as_deref() != Some(PART) {
            return Ok(());
        }
        let raw = self.path.as_ref().or(header.file_name.as_ref()).filter(|raw| !raw.is_empty());
        let raw = raw.ok_or_else(|| Fault::invalid("file: needs a filename when the query has no path"))?;
        let target = paths::resolve("path", raw, &self.user)?;
        if self.targets.len() == MAX_FILES {
            return Err(Fault::invalid(format!("file: at most {MAX_FILES} parts")));
        }
        if !self.targets.insert(target.clone()) {
            return Err(Fault::invalid(format!("file: two parts for {}", target.display())));
        }
        self.place().await?;
        self.open = Some(Writer::create(target, Arc::clone(&self.attributes), Arc::clone(&self.user)).await?);
        Ok(())
    }

    /// Puts the complete file in its place.
    async fn place(&mut self) -> Outcome<()> {
        if let Some(writer) = self.complete.take() {
            self.written.push(writer.finish().await?);
        }
        Ok(())
    }
}

fn refused(malformed: Malformed) -> Fault {
    Fault::invalid(match malformed {
        Malformed::HeaderTooLong => "body: the header of a part is too long",
        Malformed::HeaderNotUtf8 => "body: the header of a part is not UTF-8",
    })
}
