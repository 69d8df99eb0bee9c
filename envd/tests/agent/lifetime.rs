use http::StatusCode;
use serde_json::json;

use crate::harness::{Agent, signal};
use crate::scratch::Scratch;
use crate::stream::{decode, shell};

#[tokio::test]
async fn a_process_outlives_its_client_and_never_blocks_on_output() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let (fifo, written) = scratch.fifo("done");
    // Far more than the pipe and the queues hold: without a reader it must be drained to get to the last line.
    let script = format!("head -c 33554432 /dev/zero; echo last; echo done > {fifo}; sleep 1000");
    let mut events = agent.begin(&shell(&script)).await;
    let pid = events.started().await;
    drop(events);
    assert_eq!(written.await.expect("written"), "done\n");

    // The end of what nobody saw is there for the next client, and then what comes.
    let mut again = agent.stream("process.Process/Connect", &json!({"process": {"pid": pid}}), &[]).await;
    assert_eq!(again.started().await, pid);
    let mut tail = Vec::new();
    while !tail.ends_with(b"last\n") {
        tail.extend(decode(&again.event().await["data"]["stdout"]));
    }
    assert!(tail.len() <= 1 << 20);
    let term = json!({"process": {"pid": pid}, "signal": "SIGNAL_SIGTERM"});
    assert_eq!(agent.call("process.Process/SendSignal", &term).await.status, StatusCode::OK);
    assert_eq!(again.finish().await.end()["status"], "signal: terminated");
    let late = agent.stream("process.Process/Connect", &json!({"process": {"pid": pid}}), &[]).await.finish().await;
    assert_eq!((late.pid, late.end()["status"].as_str()), (pid, Some("signal: terminated")));
}

#[tokio::test]
async fn the_timeout_ends_the_group_with_children_that_ignore_sigterm() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let (fifo, all_gone) = scratch.fifo("held");
    // Every process of the group holds the FIFO open, so its end of file is the end of them all.
    let script = format!("exec 3> {fifo}; (trap '' TERM; echo ready; sleep 1000) & wait");
    let events = agent.stream("process.Process/Start", &shell(&script), &[("connect-timeout-ms", "1500")]).await;
    let run = events.finish().await;
    assert_eq!((run.error_code(), run.out()), ("deadline_exceeded", "ready\n"));
    assert!(run.ends.is_empty());
    assert_eq!(all_gone.await.expect("gone"), "");
    assert_eq!(agent.call("process.Process/List", &json!({})).await.json(), json!({}));
}

#[tokio::test]
async fn the_timeout_holds_when_the_client_is_gone() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let (fifo, all_gone) = scratch.fifo("held");
    let script = format!("exec 3> {fifo}; sleep 1000");
    let mut events = agent.stream("process.Process/Start", &shell(&script), &[("connect-timeout-ms", "500")]).await;
    events.started().await;
    drop(events);
    assert_eq!(all_gone.await.expect("gone"), "");
}

#[tokio::test]
async fn a_process_within_its_time_ends_as_usual() {
    let agent = Agent::start();
    let events = agent.stream("process.Process/Start", &shell("exit 4"), &[("connect-timeout-ms", "60000")]).await;
    assert_eq!(events.finish().await.exit_code(), 4);
}

#[tokio::test]
async fn a_daemon_that_keeps_the_output_open_does_not_hold_up_the_end() {
    let agent = Agent::start();
    let run = agent.sh("sleep 1000 & echo $!").await;
    assert_eq!((run.exit_code(), run.after_end), (0, 0));
    signal(run.out().trim().parse().expect("pid"), libc::SIGKILL);
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let agent = Agent::start();
    let mut events =
        agent.stream("process.Process/Start", &shell("sleep 1000"), &[("keepalive-ping-interval", "1")]).await;
    events.started().await;
    assert_eq!(events.event().await, json!({"keepalive": {}}));
}

#[tokio::test]
async fn a_reader_that_is_slow_holds_the_process_back_and_loses_nothing() {
    let agent = Agent::start();
    let mut events = agent.begin(&shell("head -c 67108864 /dev/zero")).await;
    events.started().await;
    // While nobody reads, the agent serves others, and the output waits in the process.
    for _ in 0..20 {
        assert_eq!(agent.sh("echo other").await.out(), "other\n");
    }
    let mut total = 0;
    let end = loop {
        let event = events.event().await;
        if event.get("end").is_some() {
            break event["end"].clone();
        }
        total += decode(&event["data"]["stdout"]).len();
    };
    assert_eq!((total, &end["status"]), (64 << 20, &json!("exit status 0")));
    assert!(agent.peak_memory_kib() < 32 << 10, "{} KiB", agent.peak_memory_kib());
}

#[tokio::test]
async fn sigterm_ends_the_agent_and_its_processes() {
    let mut agent = Agent::start();
    let scratch = Scratch::new();
    let (fifo, all_gone) = scratch.fifo("held");
    let mut events = agent.begin(&shell(&format!("exec 3> {fifo}; echo up; sleep 1000"))).await;
    events.started().await;
    assert_eq!(events.line().await, "up");
    let ended = tokio::task::spawn_blocking(move || agent.terminate());
    assert_eq!(events.finish().await.end()["status"], "signal: terminated");
    assert!(ended.await.expect("ended").success());
    assert_eq!(all_gone.await.expect("gone"), "");
}

#[tokio::test]
async fn hundreds_of_processes_leave_nothing_behind() {
    let agent = Agent::start();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).expect("fd").count();
    agent.sh("true").await;
    let before = descriptors();
    for number in 0..300 {
        let run = agent.sh(&format!("echo {number}; exit $(({number} % 100))")).await;
        assert_eq!((run.out().trim(), run.exit_code()), (number.to_string().as_str(), number % 100));
    }
    assert_eq!(agent.call("process.Process/List", &json!({})).await.json(), json!({}));
    // The connection of the last request may still be closing.
    assert!(descriptors() <= before + 2, "{} descriptors, {before} before", descriptors());
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.pid())).unwrap_or_default();
    assert_eq!(children.trim(), "");
}
