use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::client::{Body, Reply, full, streamed};
use crate::harness::Agent;
use crate::scratch::Scratch;

const RAW: &str = "application/octet-stream";

async fn upload(agent: &Agent, query: &str, content_type: &str, body: Body) -> Reply {
    let request = agent.request(Method::POST, &format!("/files?{query}")).header("content-type", content_type);
    agent.send(request.body(body).expect("request")).await
}

async fn put(agent: &Agent, path: &str, content: &'static str) -> Reply {
    upload(agent, &format!("path={path}"), RAW, full(content)).await
}

fn form(parts: &[(&str, Option<&str>, &str)]) -> Body {
    let mut text = String::new();
    for (name, filename, content) in parts {
        let filename = filename.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
        text.push_str(&format!(
            "--BOUND\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n{content}\r\n"
        ));
    }
    text.push_str("--BOUND--\r\n");
    full(text)
}

const FORM: &str = "multipart/form-data; boundary=BOUND";

#[tokio::test]
async fn sixty_four_mebibytes_go_up_and_down_unchanged_in_constant_memory() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let path = scratch.join("large");
    let piece = |number: u64| {
        let digest = Sha256::digest(number.to_le_bytes());
        Bytes::from(digest.repeat(64 * 1024 / 32))
    };
    let mut expected = Sha256::new();
    (0..1024).for_each(|number| expected.update(piece(number)));
    let reply = upload(&agent, &format!("path={path}"), RAW, streamed(stream::iter((0..1024).map(piece)))).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!([{"name":"large","path":path,"type":"file"}])));

    let request = agent.request(Method::GET, &format!("/files?path={path}")).body(full("")).expect("request");
    let response = agent.open(request).await.expect("response");
    assert_eq!(response.headers()["content-length"], (64 << 20).to_string());
    assert_eq!(response.headers()["content-type"], RAW);
    let mut body = response.into_body();
    let mut actual = Sha256::new();
    while let Some(frame) = body.frame().await {
        actual.update(frame.expect("frame").into_data().expect("data"));
    }
    assert_eq!(actual.finalize(), expected.finalize());
    assert!(agent.peak_memory_kib() < 32 << 10, "{} KiB", agent.peak_memory_kib());
}

#[tokio::test]
async fn an_aborted_upload_leaves_the_old_file_and_no_other() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let path = scratch.join("file");
    assert_eq!(put(&agent, &path, "old").await.status, StatusCode::OK);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body = streamed(stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }));
    let query = format!("path={path}");
    let pending = upload(&agent, &query, RAW, body);
    let abort = async {
        // Sent means taken by the connection; a name beside the target means that the agent writes.
        sender.send(Bytes::from(vec![b'x'; 1 << 20])).await.expect("sent");
        while scratch.names().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        reply = pending => panic!("answered: {}", reply.status),
        () = abort => {}
    }
    // The request is dropped, and with it its connection.
    drop(sender);
    while scratch.names().len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scratch.names(), ["file"]);
    assert_eq!(fs::read_to_string(&path).expect("read"), "old");
}

#[tokio::test]
async fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let path = scratch.join("a/b/file");
    assert_eq!(put(&agent, &path, "long old content").await.status, StatusCode::OK);
    assert_eq!(fs::metadata(&path).expect("stat").permissions().mode() & 0o7777, 0o644);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    let inode = fs::metadata(&path).expect("stat").ino();
    assert_eq!(put(&agent, &path, "new").await.status, StatusCode::OK);
    let metadata = fs::metadata(&path).expect("stat");
    assert_eq!(fs::read_to_string(&path).expect("read"), "new");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
    assert_ne!(metadata.ino(), inode);
}

#[tokio::test]
async fn uploads_belong_to_their_user_and_respect_permissions() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let path = scratch.join("new/file");
    let reply = upload(&agent, &format!("path={path}&username=nobody"), RAW, full("x")).await;
    assert_eq!(reply.status, StatusCode::OK);
    for path in [scratch.join("new"), path] {
        let metadata = fs::metadata(&path).expect("stat");
        assert_eq!((metadata.uid(), metadata.gid()), (65534, 65534), "{path}");
    }
    fs::create_dir(scratch.join("closed")).expect("directory");
    fs::write(scratch.join("closed/secret"), b"secret").expect("file");
    fs::set_permissions(scratch.join("closed"), fs::Permissions::from_mode(0o700)).expect("mode");
    let secret = format!("path={}&username=nobody", scratch.join("closed/secret"));
    assert_eq!(upload(&agent, &secret, RAW, full("x")).await.status, StatusCode::FORBIDDEN);
    let reply = agent.get(&format!("/files?{secret}")).await;
    assert_eq!((reply.status, reply.json()["code"].clone()), (StatusCode::FORBIDDEN, json!(403)));
    let allowed = agent.get(&format!("/files?path={}", scratch.join("closed/secret"))).await;
    assert_eq!(allowed.body.as_ref(), b"secret");
    let unknown = agent.get("/files?path=/etc/hostname&username=no-such-user").await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    assert!(unknown.json()["message"].as_str().expect("message").contains("no-such-user"));
}

#[tokio::test]
async fn forms_carry_files_by_path_or_by_name() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let (one, two) = (scratch.join("one"), scratch.join("deep/two"));
    let parts = [("file", Some(one.as_str()), "first"), ("note", None, "skipped"), ("file", Some(two.as_str()), "2nd")];
    let reply = upload(&agent, "", FORM, form(&parts)).await;
    let expected = json!([
        {"name": "one", "path": one, "type": "file"},
        {"name": "two", "path": two, "type": "file"},
    ]);
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));
    assert_eq!(fs::read_to_string(&one).expect("read"), "first");
    assert_eq!(fs::read_to_string(&two).expect("read"), "2nd");

    let named = upload(&agent, &format!("path={one}"), FORM, form(&[("file", Some("ignored"), "third")])).await;
    assert_eq!(named.status, StatusCode::OK);
    assert_eq!(fs::read_to_string(&one).expect("read"), "third");
}

#[tokio::test]
async fn bad_uploads_say_why() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let path = scratch.path().to_str().expect("utf-8");
    let inside = format!("path={}", scratch.join("x"));
    let twice = form(&[("file", Some("a"), "1"), ("file", Some("a"), "2")]);
    for (query, content_type, body, what) in [
        (format!("path={path}"), RAW, full("x"), "is a directory"),
        ("path=/dev/null".into(), RAW, full("x"), "not a regular file"),
        (String::new(), RAW, full("x"), "path: "),
        (inside.clone(), "text/plain", full("x"), "content-type: "),
        (inside.clone(), FORM, full("nonsense"), "body: "),
        (inside.clone(), FORM, form(&[("other", None, "x")]), "body: "),
        (inside.clone(), FORM, twice, "two parts"),
        (String::new(), FORM, form(&[("file", None, "x")]), "filename"),
    ] {
        let reply = upload(&agent, &query, content_type, body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{what}");
        let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(what), "{message}");
    }
    let names = scratch.names();
    assert!(names.is_empty() || names == ["x"], "{names:?}");
}

#[tokio::test]
async fn a_refused_upload_is_answered_while_the_client_still_sends() {
    let agent = Agent::start();
    let endless = streamed(stream::iter((0..1024).map(|_| Bytes::from(vec![0; 64 << 10]))));
    assert_eq!(upload(&agent, "path=/tmp", RAW, endless).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn downloads_tell_missing_from_impossible() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let (fifo, reader) = scratch.fifo("fifo");
    let directory = scratch.path().to_str().expect("utf-8");
    for (path, status) in [
        (scratch.join("missing"), StatusCode::NOT_FOUND),
        (directory.into(), StatusCode::BAD_REQUEST),
        (fifo.clone(), StatusCode::BAD_REQUEST),
        ("/dev/zero".into(), StatusCode::BAD_REQUEST),
        (String::new(), StatusCode::BAD_REQUEST),
        ("/a%00b".into(), StatusCode::BAD_REQUEST),
    ] {
        let reply = agent.get(&format!("/files?path={path}")).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.json()["code"], status.as_u16());
    }
    // Lets the reader of the FIFO end.
    fs::write(fifo, b"").expect("fifo");
    assert_eq!(reader.await.expect("read"), "");
}

#[tokio::test]
async fn downloads_follow_links_and_read_empty_and_kernel_files() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    fs::write(scratch.join("file"), b"content").expect("file");
    symlink("file", scratch.join("link")).expect("link");
    fs::write(scratch.join("empty"), b"").expect("file");
    assert_eq!(agent.get(&format!("/files?path={}", scratch.join("link"))).await.body.as_ref(), b"content");
    let empty = agent.get(&format!("/files?path={}", scratch.join("empty"))).await;
    assert_eq!((empty.status, &empty.headers["content-length"]), (StatusCode::OK, &"0".parse().expect("header")));
    let kernel = agent.get("/files?path=/proc/self/status").await;
    assert!(kernel.body.starts_with(b"Name:"));
}
