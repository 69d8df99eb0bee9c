use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::Agent;
use crate::scratch::Scratch;
use crate::stream::shell;

#[tokio::test]
async fn exit_codes_and_both_outputs_arrive() {
    let agent = Agent::start();
    let run = agent.sh("echo out; echo err >&2; exit 7").await;
    assert_eq!((run.out(), run.stderr.as_slice()), ("out\n", b"err\n".as_slice()));
    assert_eq!(run.end(), &json!({"exitCode":7,"exited":true,"status":"exit status 7","error":"exit status 7"}));
    assert_eq!(run.error, None);
    let run = agent.sh("true").await;
    assert_eq!(run.end(), &json!({"exited":true,"status":"exit status 0"}));
}

#[tokio::test]
async fn a_signal_is_named_in_the_end() {
    let agent = Agent::start();
    let run = agent.sh("kill -KILL $$").await;
    let mut expected = json!({"exitCode":-1,"status":"signal: killed","error":"signal: killed"});
    assert_eq!(run.end(), &expected);
    expected["signal"] = json!(9);
    let asked = [("wrenn-extensions", "1")];
    let run = agent.stream("process.Process/Start", &shell("kill -KILL $$"), &asked).await.finish().await;
    assert_eq!(run.end(), &expected);
}

#[tokio::test]
async fn output_is_bytes() {
    let agent = Agent::start();
    let run = agent.sh(r"i=0; while [ $i -lt 256 ]; do printf \\$(printf %o $i); i=$((i+1)); done").await;
    assert_eq!(run.stdout, (0..=255).collect::<Vec<u8>>());
}

#[tokio::test]
async fn eight_mebibytes_arrive_whole_and_the_end_comes_once_and_last() {
    let agent = Agent::start();
    let run = agent.sh("head -c 8388608 /dev/zero; head -c 8388608 /dev/zero | tr '\\0' x >&2; exit 5").await;
    assert_eq!((run.stdout.len(), run.stderr.len()), (8 << 20, 8 << 20));
    assert!(run.stdout.iter().all(|byte| *byte == 0) && run.stderr.iter().all(|byte| *byte == b'x'));
    assert_eq!((run.exit_code(), run.after_end), (5, 0));
}

#[tokio::test]
async fn the_environment_is_built_and_not_inherited() {
    let agent = Agent::start();
    let mut request = json!({"process": {"cmd": "env", "envs": {"MINE": "a=b c", "USER": "me"}}, "stdin": false});
    let run = agent.run(&request).await;
    let mut lines: Vec<&str> = run.out().lines().collect();
    lines.sort_unstable();
    assert!(lines[0].starts_with("HOME=/") && lines[3].starts_with("PATH=/") && lines[4].starts_with("SHELL=/"));
    assert_eq!((lines[1], lines[2], lines[5]), ("LOGNAME=root", "MINE=a=b c", "USER=me"));
    assert_eq!(lines.len(), 6);
    request["process"]["envs"] = json!({"A=": "x"});
    let run = agent.run(&request).await;
    assert_eq!(run.error_code(), "invalid_argument");
    assert!(run.error_message().contains("process.envs"));
}

#[tokio::test]
async fn the_working_directory_is_absolute_or_below_the_home() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let pwd = |cwd: Value| json!({"process": {"cmd": "/bin/pwd", "cwd": cwd}, "stdin": false});
    let path = scratch.path().to_str().expect("utf-8");
    assert_eq!(agent.run(&pwd(json!(path))).await.out(), format!("{path}\n"));
    let home = agent.sh("echo $HOME").await.out().to_owned();
    for cwd in [json!("~"), json!("."), Value::Null] {
        assert_eq!(agent.run(&pwd(cwd)).await.out(), home);
    }
    std::fs::write(scratch.join("file"), b"").expect("file");
    for cwd in [scratch.join("missing"), scratch.join("file"), "no-such-directory".into(), "~other".into()] {
        let run = agent.run(&pwd(json!(cwd))).await;
        assert_eq!(run.error_code(), "invalid_argument", "{cwd}");
        assert!(run.error_message().contains("cwd"), "{}", run.error_message());
        assert_eq!(run.pid, 0);
    }
}

#[tokio::test]
async fn a_process_runs_as_the_user_of_the_credentials() {
    let agent = Agent::start();
    let script = "echo $(id -u) $(id -g) $(id -G) $USER $LOGNAME $HOME; grep -c . /etc/shadow";
    let run = agent.run_as("nobody", &shell(script)).await;
    assert_eq!(run.out(), "65534 65534 65534 nobody nobody /nonexistent\n");
    assert!(String::from_utf8_lossy(&run.stderr).contains("ermission denied"));
    let run = agent.run_as("no-such-user", &shell("true")).await;
    assert_eq!(run.error_code(), "unauthenticated");
    assert!(run.error_message().contains("no-such-user"));
}

#[tokio::test]
async fn a_directory_that_the_user_may_not_enter_is_refused() {
    let agent = Agent::start();
    let scratch = Scratch::new();
    let closed = scratch.join("closed");
    std::fs::create_dir(&closed).expect("directory");
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("mode");
    let mut request = shell("true");
    request["process"]["cwd"] = json!(closed);
    let run = agent.run_as("nobody", &request).await;
    assert_eq!(run.error_code(), "permission_denied");
    assert!(run.error_message().contains("cwd"), "{}", run.error_message());
}

#[tokio::test]
async fn a_program_that_cannot_run_is_an_error_before_any_event() {
    let agent = Agent::start();
    for (command, code) in [
        ("no-such-program", "not_found"),
        ("/no/such/program", "not_found"),
        ("/etc/passwd/x", "not_found"),
        ("/etc/passwd", "permission_denied"),
        ("/etc", "permission_denied"),
        ("", "invalid_argument"),
    ] {
        let run = agent.run(&json!({"process": {"cmd": command}})).await;
        assert_eq!((run.error_code(), run.pid), (code, 0), "{command}");
        assert!(run.error_message().contains("cmd"), "{}", run.error_message());
        assert!(run.ends.is_empty());
    }
    assert_eq!(agent.run(&json!({})).await.error_code(), "invalid_argument");
}

#[tokio::test]
async fn a_process_leads_its_own_session_and_group_with_no_foreign_descriptors() {
    let agent = Agent::start();
    let run = agent.sh("cut -d' ' -f1,5,6 /proc/$$/stat; echo /proc/self/fd/*").await;
    let (ids, descriptors) = run.out().trim_end().split_once('\n').expect("two lines");
    assert_eq!(ids, format!("{0} {0} {0}", run.pid));
    // 0 to 2, and the one that lists the directory.
    assert_eq!(descriptors, "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3");
}

#[tokio::test]
async fn a_process_starts_with_no_signal_ignored_or_blocked_and_the_usual_limit_of_descriptors() {
    let agent = Agent::start();
    let run = agent.sh("grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2 | sort -u; ulimit -n").await;
    assert_eq!(run.out(), "0000000000000000\n1024\n");
}

#[tokio::test]
async fn list_shows_what_runs_and_nothing_that_has_ended() {
    let agent = Agent::start();
    let mut request = shell("echo up; read line");
    request["stdin"] = json!(true);
    request["tag"] = json!("mine");
    let mut events = agent.begin(&request).await;
    let pid = events.started().await;
    let list = agent.call("process.Process/List", &json!({})).await.json();
    let expected =
        json!([{"config": {"cmd": "/bin/sh", "args": ["-c", "echo up; read line"]}, "pid": pid, "tag": "mine"}]);
    assert_eq!(list["processes"], expected);
    let reply = agent.call("process.Process/CloseStdin", &json!({"process": {"tag": "mine"}})).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(events.finish().await.ends.len(), 1);
    assert_eq!(agent.call("process.Process/List", &json!({})).await.json(), json!({}));
}
