use std::collections::BTreeMap;

use super::timestamp::Timestamp;
use super::*;
use crate::token::digest;

/// Stands in for the machine: these effects must never reach the computer that runs the tests.
#[derive(Default)]
struct Recorder {
    calls: Arc<Mutex<Vec<String>>>,
    fails: Option<&'static str>,
}

impl Recorder {
    fn record(&self, part: &'static str, value: &str) -> io::Result<()> {
        if self.fails == Some(part) {
            return Err(io::Error::other("no"));
        }
        lock(&self.calls).push(format!("{part}={value}"));
        Ok(())
    }
}

impl System for Recorder {
    fn set_clock(&self, time: Timestamp) -> io::Result<()> {
        self.record("clock", &time.seconds.to_string())
    }

    fn set_hostname(&self, hostname: &str) -> io::Result<()> {
        self.record("hostname", hostname)
    }

    fn set_machine_id(&self, machine_id: &str) -> io::Result<()> {
        self.record("machine-id", machine_id)
    }

    fn seed_random(&self, seed: &[u8]) -> io::Result<()> {
        self.record("seed", &seed.len().to_string())
    }
}

struct Bench {
    initializer: Initializer,
    token: Arc<Token>,
    defaults: Arc<SharedDefaults>,
    calls: Arc<Mutex<Vec<String>>>,
}

fn bench(fails: Option<&'static str>) -> Bench {
    let recorder = Recorder { fails, ..Recorder::default() };
    let calls = Arc::clone(&recorder.calls);
    let token = Arc::new(Token::new(digest(b"old")));
    let defaults = Arc::new(SharedDefaults::default());
    let initializer = Initializer::new(Box::new(recorder), Arc::clone(&token), Arc::clone(&defaults));
    Bench { initializer, token, defaults, calls }
}

fn accepts(token: &Token, value: &'static str) -> bool {
    let mut headers = http::HeaderMap::new();
    headers.insert(crate::token::HEADER, http::HeaderValue::from_static(value));
    token.accepts(&headers)
}

const FULL: &str = r#"{"accessToken":"new","envVars":{"A":"1"},"defaultUser":"root","defaultWorkdir":"/tmp",
    "timestamp":"2026-01-02T03:04:05.5Z","hostname":"capsule","machineId":"0123456789abcdef0123456789abcdef",
    "randomSeed":"AAECAw=="}"#;

#[test]
fn applies_every_part_and_the_machine_first() {
    let bench = bench(None);
    bench.initializer.apply(Init::parse(FULL.as_bytes()).expect("valid")).expect("applied");
    let expected = ["clock=1767323045", "hostname=capsule", "machine-id=0123456789abcdef0123456789abcdef", "seed=4"];
    assert_eq!(*lock(&bench.calls), expected);
    let defaults = bench.defaults.get();
    assert_eq!(defaults.envs, BTreeMap::from([("A".to_owned(), "1".to_owned())]));
    assert_eq!(defaults.workdir.as_deref(), Some("/tmp"));
    assert!(accepts(&bench.token, "new") && !accepts(&bench.token, "old"));
}

#[test]
fn absent_fields_touch_nothing() {
    let bench = bench(None);
    bench.initializer.apply(Init::parse(FULL.as_bytes()).expect("valid")).expect("applied");
    lock(&bench.calls).clear();
    bench.initializer.apply(Init::parse(b"{}").expect("valid")).expect("applied");
    assert!(lock(&bench.calls).is_empty());
    assert_eq!(bench.defaults.get().envs.len(), 1);
    assert!(accepts(&bench.token, "new"));
}

#[test]
fn the_environment_is_replaced_and_not_merged() {
    let bench = bench(None);
    bench.initializer.apply(Init::parse(FULL.as_bytes()).expect("valid")).expect("applied");
    bench.initializer.apply(Init::parse(br#"{"envVars":{"B":"2"}}"#).expect("valid")).expect("applied");
    assert_eq!(bench.defaults.get().envs, BTreeMap::from([("B".to_owned(), "2".to_owned())]));
}

#[test]
fn a_part_that_fails_is_named_and_keeps_the_token() {
    let bench = bench(Some("machine-id"));
    let fault = bench.initializer.apply(Init::parse(FULL.as_bytes()).expect("valid")).expect_err("fails");
    assert_eq!(fault.http_status(), 500);
    assert!(fault.message.starts_with("machineId: "), "{}", fault.message);
    assert!(accepts(&bench.token, "old"));
    assert!(bench.defaults.get().envs.is_empty());
}
