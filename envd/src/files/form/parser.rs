//! Takes a `multipart/form-data` body apart (RFC 2046 section 5.1, RFC 7578). Does no I/O: bytes go in as they
//! come, events come out, and no more than a part's header is ever held back.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;

use super::part_header::{PartHeader, parse};

/// RFC 2046 allows 70; some senders use more.
const MAX_BOUNDARY_BYTES: usize = 200;
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Spaces and tabs between a boundary and the end of its line.
const MAX_PADDING_BYTES: usize = 64;

/// What comes next in a form: for each part its header, its content in pieces, and its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Part(PartHeader),
    /// A piece of the part before.
    Content(Bytes),
    /// The part before is complete.
    PartEnd,
    /// Nothing more can be said before [`Parser::feed`].
    Starved,
    /// The form is complete; what follows it means nothing.
    End,
}

/// Why no form can be read from the bytes; the form ends with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Malformed {
    HeaderTooLong,
    HeaderNotUtf8,
}

/// A form on its way through, from its first byte on.
pub struct Parser {
    /// Line break, two dashes, boundary: the line break belongs to the delimiter and not to the content before.
    delimiter: Finder<'static>,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    Header,
    Content,
    Epilogue,
}

enum Scan {
    Content(Bytes),
    Delimiter { last: bool },
    Starved,
}

enum Line {
    Last,
    /// A part follows; so many bytes of padding come before the line's end.
    Next(usize),
    Other,
    Undecided,
}

impl Parser {
    /// `None` when no form can have this boundary.
    pub fn new(boundary: &str) -> Option<Self> {
        let visible = boundary.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY_BYTES || !visible {
            return None;
        }
        let delimiter = Finder::new(&format!("\r\n--{boundary}")).into_owned();
        // The first delimiter may stand at the very start, without a line break of its own.
        Some(Self { delimiter, buffer: BytesMut::from("\r\n"), state: State::Preamble })
    }

    /// Takes more of the body. To be called when [`Parser::next`] is starved: sooner, and the buffer grows. What
    /// follows the form is dropped.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::Epilogue {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// What comes next in what was fed. Of content no more than a boundary's length is held back.
    pub fn next(&mut self) -> Result<Event, Malformed> {
        loop {
            match self.state {
                State::Epilogue => return Ok(Event::End),
                State::Header => return self.header(),
                State::Preamble | State::Content => match self.scan() {
                    Scan::Starved => return Ok(Event::Starved),
                    Scan::Content(bytes) if self.state == State::Content => return Ok(Event::Content(bytes)),
                    Scan::Content(_) => {}
                    Scan::Delimiter { last } => {
                        let within = self.state == State::Content;
                        self.state = if last { State::Epilogue } else { State::Header };
                        if within {
                            return Ok(Event::PartEnd);
                        }
                    }
                },
            }
        }
    }

    /// The bytes up to the next delimiter, or the delimiter itself when it comes first.
    fn scan(&mut self) -> Scan {
        let length = self.delimiter.needle().len();
        match self.delimiter.find(&self.buffer) {
            None => {
                // The end may be the start of a delimiter.
                let clear = (self.buffer.len() + 1).saturating_sub(length);
                if clear == 0 { Scan::Starved } else { self.content(clear) }
            }
            Some(0) => match line(&self.buffer[length..]) {
                Line::Undecided => Scan::Starved,
                // A longer boundary, or text that looks like one.
                Line::Other => self.content(length),
                Line::Next(padding) => {
                    self.buffer.advance(length + padding);
                    Scan::Delimiter { last: false }
                }
                Line::Last => {
                    self.buffer.clear();
                    Scan::Delimiter { last: true }
                }
            },
            Some(at) => self.content(at),
        }
    }

    fn content(&mut self, length: usize) -> Scan {
        Scan::Content(self.buffer.split_to(length).freeze())
    }

    /// The buffer begins with the end of the boundary's line, so that a part without a header is nothing special.
    fn header(&mut self) -> Result<Event, Malformed> {
        let searched = &self.buffer[..self.buffer.len().min(MAX_HEADER_BYTES)];
        let Some(end) = memchr::memmem::find(searched, b"\r\n\r\n") else {
            return if self.buffer.len() < MAX_HEADER_BYTES {
                Ok(Event::Starved)
            } else {
                Err(Malformed::HeaderTooLong)
            };
        };
        let header = self.buffer.split_to(end);
        self.buffer.advance(4);
        self.state = State::Content;
        parse(&header).map(Event::Part).ok_or(Malformed::HeaderNotUtf8)
    }
}

fn line(rest: &[u8]) -> Line {
    if rest.starts_with(b"--") {
        return Line::Last;
    }
    let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match &rest[padding..] {
        [b'\r', b'\n', ..] if padding <= MAX_PADDING_BYTES => Line::Next(padding),
        [] | [b'\r'] if padding <= MAX_PADDING_BYTES => Line::Undecided,
        [b'-'] if padding == 0 => Line::Undecided,
        _ => Line::Other,
    }
}

#[cfg(test)]
mod tests;
