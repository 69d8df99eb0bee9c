use std::fs;
use std::path::Path;

use http::{Method, StatusCode};

use crate::client::full;
use crate::harness::{Agent, TOKEN, signal};

#[tokio::test]
async fn an_agent_that_dies_is_back_with_what_init_has_set() {
    let mut agent = Agent::supervised();
    let body = r#"{"accessToken":"newer","envVars":{"A":"1"},"defaultUser":"nobody","defaultWorkdir":"/usr"}"#;
    assert_eq!(agent.init(body).await.status, StatusCode::NO_CONTENT);
    agent.crash();
    let status = async |token| {
        let request = agent.bare_request(Method::POST, "/init").header("x-access-token", token);
        agent.send(request.body(full("")).expect("request")).await.status
    };
    assert_eq!(status(TOKEN).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status("newer").await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn twenty_deaths_in_a_row_cost_the_holder_nothing() {
    let mut agent = Agent::supervised();
    let descriptors = |agent: &Agent| fs::read_dir(format!("/proc/{}/fd", agent.pid())).expect("fd").count();
    // As many ended processes as are remembered.
    for _ in 0..70 {
        agent.sh("true").await;
    }
    agent.crash();
    let before = descriptors(&agent);
    for _ in 0..20 {
        agent.crash();
        assert_eq!(agent.sh("echo back").await.out(), "back\n");
    }
    agent.crash();
    assert_eq!(descriptors(&agent), before);
    assert_eq!(agent.children(), [agent.agent_pid()]);
}

#[tokio::test]
async fn orphans_are_collected_whatever_the_agent_does() {
    let mut agent = Agent::supervised();
    let orphan = agent.sh("sleep 1000 & echo $!").await.out().trim().parse().expect("pid");
    assert!(agent.children().contains(&orphan));
    agent.crash();
    signal(orphan, libc::SIGKILL);
    // The kernel has no event for this.
    while Path::new(&format!("/proc/{orphan}")).exists() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_holder_that_is_told_to_stop_stops_its_agent() {
    let mut agent = Agent::supervised();
    let pid = agent.agent_pid();
    assert!(agent.terminate().success());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn an_agent_without_a_holder_stops_too() {
    let mut agent = Agent::supervised();
    let pid = agent.agent_pid();
    assert!(agent.kill().code().is_none());
    while Path::new(&format!("/proc/{pid}")).exists() {
        std::thread::yield_now();
    }
}
