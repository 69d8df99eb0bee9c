//! The binary codec, and HTTP/2 without TLS.

use buffa::Message;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::client::full;
use crate::harness::Agent;
use crate::stream::envelope;

#[allow(clippy::upper_case_acronyms, reason = "generated names follow the protos")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

use proto::filesystem::{ListDirRequest, ListDirResponse};
use proto::process::process_event::Event;
use proto::process::process_event::data_event::Output;
use proto::process::{ProcessConfig, StartRequest, StartResponse};

fn frames(mut body: Bytes) -> Vec<(u8, Bytes)> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        let head = body.split_to(5);
        let length = u32::from_be_bytes(head[1..].try_into().expect("length")) as usize;
        frames.push((head[0], body.split_to(length)));
    }
    frames
}

#[tokio::test]
async fn a_process_runs_in_the_binary_codec() {
    let agent = Agent::start();
    let config = ProcessConfig {
        cmd: "/bin/sh".into(),
        args: vec!["-c".into(), "printf 'a\\000b'; kill -9 $$".into()],
        ..ProcessConfig::default()
    };
    let start = StartRequest { process: config.into(), ..StartRequest::default() };
    let request =
        agent.request(Method::POST, "/process.Process/Start").header("content-type", "application/connect+proto");
    let reply = agent.send(request.body(full(envelope(&start.encode_to_vec()))).expect("request")).await;
    assert_eq!(reply.headers["content-type"], "application/connect+proto");
    let mut frames = frames(reply.body);
    assert_eq!(frames.pop().expect("end"), (2, Bytes::from_static(b"{}")));
    let mut events = frames.iter().map(|(_, bytes)| {
        let response = StartResponse::decode(&mut &bytes[..]).expect("response");
        response.event.into_option().and_then(|event| event.event).expect("event")
    });
    assert!(matches!(events.next(), Some(Event::Start(start)) if start.pid > 0));
    let Some(Event::Data(data)) = events.next() else { panic!("no data") };
    assert_eq!(data.output, Some(Output::Stdout(b"a\0b".to_vec())));
    let Some(Event::End(end)) = events.next() else { panic!("no end") };
    assert_eq!((end.exit_code, end.exited, end.status.as_str()), (-1, false, "signal: killed"));
    assert!(events.next().is_none());
}

#[tokio::test]
async fn http_2_without_tls_carries_the_same_service() {
    let agent = Agent::start();
    let stream = TcpStream::connect(agent.address).await.expect("connect");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    let connection = tokio::spawn(connection);
    let list = ListDirRequest { path: "/etc".into(), ..ListDirRequest::default() };
    let uri = format!("http://{}/filesystem.Filesystem/ListDir", agent.address);
    let request = agent.request(Method::POST, "/").uri(uri).header("content-type", "application/proto");
    let response =
        sender.send_request(request.body(full(list.encode_to_vec())).expect("request")).await.expect("reply");
    assert_eq!((response.status(), response.version()), (StatusCode::OK, http::Version::HTTP_2));
    let body = response.into_body().collect().await.expect("body").to_bytes();
    let entries = ListDirResponse::decode(&mut &body[..]).expect("response").entries;
    assert!(entries.iter().any(|entry| entry.path == "/etc/passwd"));
    drop(sender);
    connection.await.expect("joined").expect("closed");
}
