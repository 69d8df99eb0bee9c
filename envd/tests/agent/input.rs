use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::Agent;
use crate::stream::shell;

fn input(pid: u32, bytes: &[u8]) -> Value {
    json!({"process": {"pid": pid}, "input": {"stdin": BASE64_STANDARD.encode(bytes)}})
}

#[tokio::test]
async fn input_is_echoed_until_the_end_of_file() {
    let agent = Agent::start();
    // No stdin flag means an open stdin.
    let mut events = agent.begin(&json!({"process": {"cmd": "cat"}})).await;
    let pid = events.started().await;
    for text in ["one\n", "two\n"] {
        let reply = agent.call("process.Process/SendInput", &input(pid, text.as_bytes())).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({})));
        assert_eq!(events.line().await, text.trim());
    }
    let closed = agent.call("process.Process/CloseStdin", &json!({"process": {"pid": pid}})).await;
    assert_eq!(closed.status, StatusCode::OK);
    assert_eq!(events.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_mebibyte_of_input_passes_through() {
    let agent = Agent::start();
    let mut events = agent.begin(&json!({"process": {"cmd": "wc", "args": ["-c"]}})).await;
    let pid = events.started().await;
    let reply = agent.call("process.Process/SendInput", &input(pid, &vec![7; 1 << 20])).await;
    assert_eq!(reply.status, StatusCode::OK);
    agent.call("process.Process/CloseStdin", &json!({"process": {"pid": pid}})).await;
    assert_eq!(events.line().await, "1048576");
}

#[tokio::test]
async fn without_stdin_a_process_reads_the_end_at_once() {
    let agent = Agent::start();
    let run = agent.run(&json!({"process": {"cmd": "cat"}, "stdin": false})).await;
    assert_eq!((run.exit_code(), run.out()), (0, ""));
}

#[tokio::test]
async fn a_write_that_the_process_does_not_take_holds_up_nobody_else() {
    let agent = Agent::start();
    let mut events = agent.begin(&json!({"process": {"cmd": "sleep", "args": ["1000"]}})).await;
    let pid = events.started().await;
    let message = input(pid, &vec![0; 1 << 20]);
    let stuck = agent.call("process.Process/SendInput", &message);
    let other = async {
        // The stuck write is on its way or waiting; either way these must be answered.
        assert_eq!(agent.sh("echo alive").await.out(), "alive\n");
        let signal = json!({"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"});
        assert_eq!(agent.call("process.Process/SendSignal", &signal).await.status, StatusCode::OK);
    };
    let (reply, ()) = tokio::join!(stuck, other);
    assert_eq!(reply.json()["code"], "not_found");
    assert_eq!(events.finish().await.end()["status"], "signal: killed");
}

#[tokio::test]
async fn unknown_ended_and_closed_are_told() {
    let agent = Agent::start();
    let ended = agent.sh("true").await.pid;
    let code = async |method: &str, message: Value| {
        agent.call(&format!("process.Process/{method}"), &message).await.json()["code"].clone()
    };
    for pid in [ended, 4_000_000] {
        let process = json!({"pid": pid});
        assert_eq!(code("SendInput", input(pid, b"x")).await, "not_found");
        assert_eq!(code("CloseStdin", json!({"process": process})).await, "not_found");
        assert_eq!(code("SendSignal", json!({"process": process, "signal": 15})).await, "not_found");
    }
    assert_eq!(code("CloseStdin", json!({"process": {"tag": "none"}})).await, "not_found");
    assert_eq!(code("CloseStdin", json!({})).await, "invalid_argument");

    let mut events = agent.begin(&shell("sleep 1000")).await;
    let pid = events.started().await;
    assert_eq!(code("SendInput", input(pid, b"x")).await, "failed_precondition");
    assert_eq!(code("SendInput", json!({"process": {"pid": pid}})).await, "invalid_argument");
    let pty = json!({"process": {"pid": pid}, "input": {"pty": "eA=="}});
    assert_eq!(code("SendInput", pty).await, "failed_precondition");
    for signal in [0, -1, 65] {
        assert_eq!(code("SendSignal", json!({"process": {"pid": pid}, "signal": signal})).await, "invalid_argument");
    }
}

#[tokio::test]
async fn any_signal_number_reaches_the_whole_group() {
    let agent = Agent::start();
    // The outer shell runs its trap when its child has ended, so only a signal to the group gets that far.
    let script = "trap 'echo got; exit 3' INT; sh -c 'echo up; exec sleep 1000'";
    let mut events = agent.begin(&shell(script)).await;
    let pid = events.started().await;
    assert_eq!(events.line().await, "up");
    let reply = agent.call("process.Process/SendSignal", &json!({"process": {"pid": pid}, "signal": 2})).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(events.line().await, "got");
    assert_eq!(events.finish().await.exit_code(), 3);
}
