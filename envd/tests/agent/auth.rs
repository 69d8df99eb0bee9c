use http::{Method, StatusCode};
use http_body_util::BodyExt;

use crate::client::full;
use crate::harness::{Agent, TOKEN, binary};
use crate::stream::envelope;

const REST: [(&str, &str); 6] = [
    ("GET", "/files?path=/etc/hostname"),
    ("POST", "/files?path=/never"),
    ("POST", "/init"),
    ("POST", "/health"),
    ("GET", "/"),
    ("GET", "/metrics"),
];
const UNARY: [&str; 16] = [
    "process.Process/List",
    "process.Process/Update",
    "process.Process/SendInput",
    "process.Process/SendSignal",
    "process.Process/CloseStdin",
    "process.Process/NoSuchMethod",
    "filesystem.Filesystem/Stat",
    "filesystem.Filesystem/MakeDir",
    "filesystem.Filesystem/Move",
    "filesystem.Filesystem/ListDir",
    "filesystem.Filesystem/Remove",
    "filesystem.Filesystem/CreateWatcher",
    "filesystem.Filesystem/GetWatcherEvents",
    "filesystem.Filesystem/RemoveWatcher",
    "filesystem.Filesystem/NoSuchMethod",
    "process.Process/",
];
const STREAMS: [&str; 4] = [
    "process.Process/Start",
    "process.Process/Connect",
    "process.Process/StreamInput",
    "filesystem.Filesystem/WatchDir",
];
const WRONG: [Option<&str>; 4] = [None, Some(""), Some("wrong"), Some("boot-token2")];

fn with(mut request: http::request::Builder, token: Option<&str>) -> http::request::Builder {
    if let Some(token) = token {
        request = request.header("x-access-token", token);
    }
    request
}

#[tokio::test]
async fn health_needs_no_token_and_tells_the_version() {
    let agent = Agent::start();
    let reply = agent.send(agent.bare_request(Method::GET, "/health").body(full("")).expect("request")).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(reply.headers["x-envd-version"], env!("CARGO_PKG_VERSION"));
    assert!(reply.body.is_empty());
}

#[tokio::test]
async fn every_plain_route_refuses_a_wrong_token() {
    let agent = Agent::start();
    for (method, path) in REST {
        for token in WRONG {
            let request = with(agent.bare_request(method.parse().expect("method"), path), token);
            let reply = agent.send(request.body(full("")).expect("request")).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(reply.json()["code"], 401);
            assert!(reply.json()["message"].is_string());
        }
    }
}

#[tokio::test]
async fn every_unary_rpc_refuses_a_wrong_token_as_connect_does() {
    let agent = Agent::start();
    for method in UNARY {
        for token in WRONG {
            let request = with(agent.bare_request(Method::POST, &format!("/{method}")), token);
            let request = request.header("content-type", "application/json").body(full("{}")).expect("request");
            let reply = agent.send(request).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method}");
            assert_eq!(reply.json()["code"], "unauthenticated");
        }
    }
}

#[tokio::test]
async fn every_stream_refuses_a_wrong_token_in_its_last_frame() {
    let agent = Agent::start();
    for method in STREAMS {
        for token in WRONG {
            let request = with(agent.bare_request(Method::POST, &format!("/{method}")), token);
            let request = request.header("content-type", "application/connect+json");
            let response = agent.open(request.body(full(envelope(b"{}"))).expect("request")).await.expect("response");
            let body = response.into_body().collect().await.expect("body").to_bytes();
            assert_eq!(body[0], 2, "{method}: not an end-of-stream frame");
            let end: serde_json::Value = serde_json::from_slice(&body[5..]).expect("json");
            assert_eq!(end["error"]["code"], "unauthenticated");
        }
    }
}

#[tokio::test]
async fn the_right_token_opens_and_a_replaced_one_no_longer_does() {
    let agent = Agent::start();
    assert_eq!(agent.call("process.Process/List", &serde_json::json!({})).await.status, StatusCode::OK);
    assert_eq!(agent.init(r#"{"accessToken":"second"}"#).await.status, StatusCode::NO_CONTENT);
    for (token, status) in [(TOKEN, StatusCode::UNAUTHORIZED), ("second", StatusCode::NO_CONTENT)] {
        let request = with(agent.bare_request(Method::POST, "/init"), Some(token));
        assert_eq!(agent.send(request.body(full("{}")).expect("request")).await.status, status, "{token}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_told_apart() {
    let agent = Agent::start();
    assert_eq!(agent.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    assert_eq!(agent.get("/init").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let reply = agent.call("process.Process/NoSuchMethod", &serde_json::json!({})).await;
    assert_eq!(reply.json()["code"], "unimplemented");
}

#[test]
fn without_a_token_the_agent_refuses_to_start() {
    let output = binary().stderr(std::process::Stdio::piped()).args(["--listen", "127.0.0.1:0"]).output().expect("ran");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).expect("utf-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("no access token"), "{text}");
}

#[test]
fn the_version_is_printed() {
    let output = binary().arg("--version").output().expect("ran");
    assert_eq!(String::from_utf8(output.stdout).expect("utf-8"), format!("envd {}\n", env!("CARGO_PKG_VERSION")));
}
