use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::harness::Agent;
use crate::scratch::Scratch;

async fn call(agent: &Agent, method: &str, message: Value) -> Value {
    agent.call(&format!("filesystem.Filesystem/{method}"), &message).await.json()
}

fn tree() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.join("b/c")).expect("directory");
    fs::write(scratch.join("b/c/deep"), b"").expect("file");
    fs::write(scratch.join("a"), b"12345").expect("file");
    fs::set_permissions(scratch.join("a"), fs::Permissions::from_mode(0o640)).expect("mode");
    symlink("a", scratch.join("link")).expect("link");
    symlink("nowhere", scratch.join("broken")).expect("link");
    scratch
}

fn paths(listing: &Value, scratch: &Scratch) -> Vec<String> {
    let root = format!("{}/", scratch.path().display());
    let entries = listing["entries"].as_array().expect("entries");
    entries.iter().map(|entry| entry["path"].as_str().expect("path").replace(&root, "")).collect()
}

#[tokio::test]
async fn listings_are_sorted_and_as_deep_as_asked() {
    let agent = Agent::start();
    let scratch = tree();
    let list = async |depth: u32| {
        let listing = call(&agent, "ListDir", json!({"path": scratch.path(), "depth": depth})).await;
        paths(&listing, &scratch)
    };
    let top = ["a", "b", "broken", "link"];
    assert_eq!(list(0).await, top);
    assert_eq!(list(1).await, top);
    assert_eq!(list(2).await, ["a", "b", "b/c", "broken", "link"]);
    assert_eq!(list(9).await, ["a", "b", "b/c", "b/c/deep", "broken", "link"]);
}

#[tokio::test]
async fn entries_are_described() {
    let agent = Agent::start();
    let scratch = tree();
    let mut entry = call(&agent, "Stat", json!({"path": scratch.join("a")})).await["entry"].take();
    assert!(entry["modifiedTime"].as_str().is_some_and(|time| time.ends_with('Z')));
    entry.as_object_mut().expect("entry").remove("modifiedTime");
    let expected = json!({
        "name": "a", "type": "FILE_TYPE_FILE", "path": scratch.join("a"), "size": "5", "mode": 0o640,
        "permissions": "-rw-r-----", "owner": "root", "group": "root",
    });
    assert_eq!(entry, expected);
    let link = call(&agent, "Stat", json!({"path": scratch.join("broken")})).await["entry"].take();
    assert_eq!((&link["type"], &link["symlinkTarget"]), (&json!("FILE_TYPE_SYMLINK"), &json!("nowhere")));
    let home = call(&agent, "Stat", json!({"path": "~"})).await["entry"].take();
    assert_eq!((&home["path"], &home["type"]), (&json!("/root"), &json!("FILE_TYPE_DIRECTORY")));
}

#[tokio::test]
async fn directories_are_made_with_parents_and_only_once() {
    let agent = Agent::start();
    let scratch = tree();
    let made = agent
        .call_as(Some("nobody"), "filesystem.Filesystem/MakeDir", &json!({"path": scratch.join("x/y")}))
        .await
        .json();
    assert_eq!((&made["entry"]["owner"], &made["entry"]["mode"]), (&json!("nobody"), &json!(0o755)));
    assert_eq!(call(&agent, "MakeDir", json!({"path": scratch.join("x/y")})).await["code"], "already_exists");
    assert_eq!(call(&agent, "MakeDir", json!({"path": scratch.join("a")})).await["code"], "invalid_argument");
    assert_eq!(call(&agent, "MakeDir", json!({"path": scratch.join("a/z")})).await["code"], "invalid_argument");
}

#[tokio::test]
async fn moving_makes_parents_and_removing_is_idempotent() {
    let agent = Agent::start();
    let scratch = tree();
    let (from, to) = (scratch.join("a"), scratch.join("new/place"));
    let moved = call(&agent, "Move", json!({"source": from, "destination": to})).await;
    assert_eq!(moved["entry"]["path"], json!(to));
    assert_eq!(fs::read(&to).expect("read"), b"12345");
    assert_eq!(call(&agent, "Move", json!({"source": from, "destination": to})).await["code"], "not_found");
    for _ in 0..2 {
        assert_eq!(call(&agent, "Remove", json!({"path": scratch.join("b")})).await, json!({}));
        assert_eq!(call(&agent, "Remove", json!({"path": scratch.join("link")})).await, json!({}));
    }
    assert_eq!(scratch.names(), ["broken", "new"]);
    assert_eq!(call(&agent, "Remove", json!({"path": "/"})).await["code"], "invalid_argument");
}

#[tokio::test]
async fn what_cannot_be_is_told() {
    let agent = Agent::start();
    let scratch = tree();
    for (method, path, code) in [
        ("Stat", scratch.join("missing"), "not_found"),
        ("ListDir", scratch.join("missing"), "not_found"),
        ("ListDir", scratch.join("a"), "invalid_argument"),
        ("ListDir", String::new(), "invalid_argument"),
        ("Stat", "~other/x".into(), "invalid_argument"),
        ("CreateWatcher", scratch.join("missing"), "not_found"),
        ("CreateWatcher", scratch.join("a"), "invalid_argument"),
    ] {
        assert_eq!(call(&agent, method, json!({"path": path})).await["code"], code, "{method} {path}");
    }
    let missing = json!({"path": scratch.join("missing")});
    let watch = agent.stream("filesystem.Filesystem/WatchDir", &missing, &[]).await.finish().await;
    assert_eq!(watch.error_code(), "not_found");
}

#[tokio::test]
async fn the_rights_of_the_user_hold() {
    let agent = Agent::start();
    let scratch = tree();
    fs::set_permissions(scratch.join("b"), fs::Permissions::from_mode(0o700)).expect("mode");
    let as_nobody = async |method: &str, path: String| {
        agent.call_as(Some("nobody"), &format!("filesystem.Filesystem/{method}"), &json!({"path": path})).await.json()
    };
    assert_eq!(as_nobody("ListDir", scratch.join("b")).await["code"], "permission_denied");
    assert_eq!(as_nobody("Remove", scratch.join("b/c")).await["code"], "permission_denied");
    assert_eq!(as_nobody("MakeDir", scratch.join("b/z")).await["code"], "permission_denied");
    // Below a directory that may not be read there is nothing to see; the directory itself is shown.
    let agent_list = agent
        .call_as(Some("nobody"), "filesystem.Filesystem/ListDir", &json!({"path": scratch.path(), "depth": 5}))
        .await
        .json();
    assert_eq!(paths(&agent_list, &scratch), ["a", "b", "broken", "link"]);
    // The next request as root must not be touched by nobody's rights.
    assert!(call(&agent, "ListDir", json!({"path": scratch.join("b")})).await["entries"].is_array());
}
