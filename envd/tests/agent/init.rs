use http::StatusCode;

use crate::harness::Agent;

#[tokio::test]
async fn defaults_reach_the_next_process() {
    let agent = Agent::start();
    let body = r#"{"envVars":{"A":"1","B":"2"},"defaultUser":"nobody","defaultWorkdir":"/usr","later":true}"#;
    assert_eq!(agent.init(body).await.status, StatusCode::NO_CONTENT);
    assert_eq!(agent.sh("echo $A $B $USER $(id -u) $(pwd)").await.out(), "1 2 nobody 65534 /usr\n");
    assert_eq!(agent.init(r#"{"envVars":{"B":"3"}}"#).await.status, StatusCode::NO_CONTENT);
    assert_eq!(agent.sh("echo ${A-none} $B $USER").await.out(), "none 3 nobody\n");
}

#[tokio::test]
async fn a_bad_field_is_named_and_nothing_of_the_request_is_applied() {
    let agent = Agent::start();
    // Every value for a part of the machine is invalid here, and must stay so: see the head of main.rs.
    for (field, value) in [
        ("accessToken", r#""a b""#),
        ("envVars", r#"{"X":1}"#),
        ("defaultUser", r#""no-such-user""#),
        ("defaultWorkdir", r#""relative""#),
        ("timestamp", r#""1767323045.5""#),
        ("hostname", r#""not valid!""#),
        ("machineId", r#""xyz""#),
        ("randomSeed", r#""*""#),
    ] {
        let mut fields = vec![format!("\"{field}\":{value}")];
        if field != "envVars" {
            fields.push(r#""envVars":{"APPLIED":"yes"}"#.into());
        }
        if field != "accessToken" {
            fields.push(r#""accessToken":"applied""#.into());
        }
        let reply = agent.init(&format!("{{{}}}", fields.join(","))).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(reply.json()["code"], 400);
        let message = reply.json()["message"].as_str().expect("message").to_owned();
        assert!(message.starts_with(&format!("{field}: ")), "{message}");
    }
    // The boot token still works, and the environment is as it was.
    assert_eq!(agent.sh("echo ${APPLIED-no}").await.out(), "no\n");
}

#[tokio::test]
async fn bodies_that_are_no_object_are_refused_and_none_is_fine() {
    let agent = Agent::start();
    for body in ["[1]", "{", "\"x\""] {
        assert_eq!(agent.init(body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    for body in ["", "{}"] {
        assert_eq!(agent.init(body).await.status, StatusCode::NO_CONTENT, "{body}");
    }
    let large = format!("{{\"envVars\":{{\"A\":\"{}\"}}}}", "x".repeat(5 << 20));
    assert_eq!(agent.init(&large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}
