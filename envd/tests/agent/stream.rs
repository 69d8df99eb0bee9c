//! Server streams of the Connect protocol in the JSON codec: five bytes of flags and length before each message.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::client::{basic, full};
use crate::harness::Agent;

const END_OF_STREAM: u8 = 2;
const HANG: Duration = Duration::from_secs(60);

/// An open stream; dropping it closes the connection.
pub struct Events {
    body: Incoming,
    buffer: BytesMut,
    pid: u32,
}

/// Everything that a process did.
#[derive(Default)]
pub struct Run {
    pub pid: u32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub ends: Vec<Value>,
    /// Events after the first `end`.
    pub after_end: usize,
    /// The error of the end-of-stream frame.
    pub error: Option<Value>,
}

impl Run {
    pub fn end(&self) -> &Value {
        assert_eq!(self.ends.len(), 1, "{:?}", self.error);
        &self.ends[0]
    }

    pub fn exit_code(&self) -> i64 {
        self.end()["exitCode"].as_i64().unwrap_or(0)
    }

    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("utf-8")
    }

    pub fn error_code(&self) -> &str {
        self.error.as_ref().and_then(|error| error["code"].as_str()).unwrap_or("none")
    }

    pub fn error_message(&self) -> &str {
        self.error.as_ref().and_then(|error| error["message"].as_str()).unwrap_or_default()
    }
}

pub fn envelope(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("length"));
    frame.extend_from_slice(message);
    frame.freeze()
}

pub fn shell(script: &str) -> Value {
    json!({ "process": { "cmd": "/bin/sh", "args": ["-c", script] }, "stdin": false })
}

/// The bytes of a data event.
pub fn decode(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).expect("base64")
}

impl Agent {
    pub async fn stream(&self, method: &str, message: &Value, headers: &[(&str, &str)]) -> Events {
        let mut request =
            self.request(Method::POST, &format!("/{method}")).header("content-type", "application/connect+json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = full(envelope(message.to_string().as_bytes()));
        let response = self.open(request.body(body).expect("request")).await.expect("response");
        assert_eq!(response.status(), StatusCode::OK);
        Events { body: response.into_body(), buffer: BytesMut::new(), pid: 0 }
    }

    pub async fn begin(&self, message: &Value) -> Events {
        self.stream("process.Process/Start", message, &[]).await
    }

    /// Runs to the end.
    pub async fn run(&self, message: &Value) -> Run {
        self.begin(message).await.finish().await
    }

    pub async fn run_as(&self, user: &str, message: &Value) -> Run {
        self.stream("process.Process/Start", message, &[("authorization", &basic(user))]).await.finish().await
    }

    pub async fn sh(&self, script: &str) -> Run {
        self.run(&shell(script)).await
    }
}

impl Events {
    /// The next message with its flags; `None` when the body is over.
    pub async fn frame(&mut self) -> Option<(u8, Bytes)> {
        loop {
            if self.buffer.len() >= 5 {
                let length = u32::from_be_bytes(self.buffer[1..5].try_into().expect("length")) as usize;
                if self.buffer.len() >= 5 + length {
                    let flags = self.buffer[0];
                    self.buffer.advance(5);
                    return Some((flags, self.buffer.split_to(length).freeze()));
                }
            }
            // Not an event that any test waits for: it turns a hang into a failure.
            let next = tokio::time::timeout(HANG, self.body.frame()).await.expect("the stream hangs");
            let data = next?.expect("frame").into_data().expect("data");
            self.buffer.extend_from_slice(&data);
        }
    }

    /// The next event of the process.
    pub async fn event(&mut self) -> Value {
        let (flags, bytes) = self.frame().await.expect("an event");
        assert_eq!(flags, 0, "{bytes:?}");
        serde_json::from_slice::<Value>(&bytes).expect("json")["event"].take()
    }

    /// Reads `start` and answers the pid.
    pub async fn started(&mut self) -> u32 {
        let event = self.event().await;
        let pid = event["start"]["pid"].as_u64().unwrap_or_else(|| panic!("no start: {event}"));
        self.pid = u32::try_from(pid).expect("pid");
        self.pid
    }

    /// Reads data events until `stdout` has given a whole line.
    pub async fn line(&mut self) -> String {
        let mut text = Vec::new();
        while text.last() != Some(&b'\n') {
            text.extend(decode(&self.event().await["data"]["stdout"]));
        }
        assert!(text.len() < 1024, "a line of {} bytes", text.len());
        String::from_utf8(text).expect("utf-8").trim().to_owned()
    }

    pub async fn finish(mut self) -> Run {
        let mut run = Run { pid: self.pid, ..Run::default() };
        while let Some((flags, bytes)) = self.frame().await {
            let value: Value = serde_json::from_slice(&bytes).expect("json");
            if flags & END_OF_STREAM != 0 {
                run.error = value.get("error").cloned();
                continue;
            }
            run.take(&value["event"]);
        }
        run
    }
}

impl Run {
    fn take(&mut self, event: &Value) {
        self.after_end += usize::from(!self.ends.is_empty());
        if let Some(start) = event.get("start") {
            assert_eq!(self.pid, 0, "a second start");
            self.pid = u32::try_from(start["pid"].as_u64().expect("pid")).expect("pid");
        } else if let Some(end) = event.get("end") {
            self.ends.push(end.clone());
        } else {
            assert_ne!(self.pid, 0, "before start: {event}");
            self.stdout.extend(decode(&event["data"]["stdout"]));
            self.stderr.extend(decode(&event["data"]["stderr"]));
        }
    }
}
