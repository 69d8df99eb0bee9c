use std::collections::BTreeMap;
use std::io;

use super::identity::Identity;
use super::system::Ready;
use super::timestamp::Timestamp;
use super::*;
use crate::secret::Secret;
use crate::token::digest;

type Calls = Arc<Mutex<Vec<String>>>;

/// Stands in for the machine: these effects must never reach the computer that runs the tests.
#[derive(Default)]
struct Recorder {
    calls: Calls,
    fails: Arc<Mutex<Option<&'static str>>>,
}

impl Recorder {
    fn record(&self, part: &'static str, value: &str) -> io::Result<()> {
        record(&self.calls, *lock(&self.fails), part, value)
    }
}

fn record(calls: &Calls, fails: Option<&str>, part: &str, value: &str) -> io::Result<()> {
    if fails == Some(part) {
        return Err(io::Error::other("no"));
    }
    lock(calls).push(format!("{part}={value}"));
    Ok(())
}

impl System for Recorder {
    fn set_clock(&self, time: Timestamp) -> io::Result<()> {
        self.record("clock", &time.seconds.to_string())
    }

    fn seed_random(&self, seed: &[u8]) -> io::Result<()> {
        self.record("seed", &seed.len().to_string())
    }

    fn drop_connections(&self, _spared: Option<Ends>) -> io::Result<()> {
        self.record("connections", "dropped")
    }

    fn prepare_identity(&self, identity: &Identity) -> Outcome<Box<dyn Ready>> {
        self.record("prepared", &identity.hostname).map_err(failed("hostname"))?;
        let name = format!("{} {}", identity.hostname, identity.machine_id);
        Ok(Box::new(Named { name, calls: Arc::clone(&self.calls), fails: *lock(&self.fails) }))
    }
}

struct Named {
    name: String,
    calls: Calls,
    fails: Option<&'static str>,
}

impl Ready for Named {
    fn take_on(self: Box<Self>) -> Outcome<()> {
        record(&self.calls, self.fails, "identity", &self.name).map_err(failed("identity"))
    }
}

struct Bench {
    initializer: Initializer,
    token: Arc<Token>,
    defaults: Arc<SharedDefaults>,
    epoch: Arc<AtomicU64>,
    calls: Calls,
    fails: Arc<Mutex<Option<&'static str>>>,
}

impl Bench {
    fn new(in_guest: bool) -> Self {
        let recorder = Recorder::default();
        let (calls, fails) = (Arc::clone(&recorder.calls), Arc::clone(&recorder.fails));
        let token = Arc::new(Token::new(digest(b"boot")));
        let defaults = Arc::new(SharedDefaults::default());
        let epoch = Arc::<AtomicU64>::default();
        let initializer = Initializer::new(
            Box::new(recorder),
            in_guest,
            Arc::clone(&token),
            Arc::clone(&defaults),
            Arc::clone(&epoch),
        );
        Self { initializer, token, defaults, epoch, calls, fails }
    }

    fn init(&self, body: &str) -> Outcome<()> {
        let arrival = Arrival { at: Instant::now(), on: None };
        self.initializer.apply(Init::parse(body.as_bytes())?, arrival)
    }

    /// What was done since this was asked last.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.calls))
    }

    fn token(&self) -> Option<Secret> {
        self.token.secret()
    }
}

const PLAIN: &str = r#"{"accessToken":"plain","envVars":{"A":"1"},"defaultUser":"root","defaultWorkdir":"/tmp",
    "timestamp":"2026-01-02T03:04:05.5Z"}"#;
const ID: &str = "0123456789abcdef0123456789abcdef";

fn resume(epoch: u64) -> String {
    format!(r#"{{"restoreEpoch":{epoch},"kind":"resume","timestamp":"2026-01-02T03:04:05Z","randomSeed":"AAECAw=="}}"#)
}

fn computer(kind: &str, epoch: u64) -> String {
    format!(
        r#"{{"restoreEpoch":{epoch},"kind":"{kind}","timestamp":"2026-01-02T03:04:05Z","randomSeed":"AAECAw==",
        "hostname":"new","machineId":"{ID}","accessToken":"of-{kind}"}}"#
    )
}

#[test]
fn without_a_kind_what_is_there_is_set_and_the_rest_stays() {
    let bench = Bench::new(true);
    bench.init(PLAIN).expect("applied");
    assert_eq!(bench.calls(), ["clock=1767323045"]);
    let defaults = bench.defaults.get();
    assert_eq!(defaults.envs, BTreeMap::from([("A".to_owned(), "1".to_owned())]));
    assert_eq!(defaults.workdir.as_deref(), Some("/tmp"));
    assert_eq!(bench.token(), Some(Secret::new(b"plain")));

    bench.init("{}").expect("applied");
    assert!(bench.calls().is_empty());
    assert_eq!(bench.defaults.get().envs.len(), 1);
    bench.init(r#"{"envVars":{"B":"2"}}"#).expect("applied");
    assert_eq!(bench.defaults.get().envs, BTreeMap::from([("B".to_owned(), "2".to_owned())]));
    assert_eq!(bench.token(), Some(Secret::new(b"plain")));
}

#[test]
fn outside_a_guest_nothing_of_the_machine_is_touched() {
    let bench = Bench::new(false);
    bench.init(PLAIN).expect("applied");
    for body in [resume(1), computer("clone", 1), computer("boot", 1)] {
        let fault = bench.init(&body).expect_err(&body);
        assert_eq!((fault.kind, fault.message.starts_with("kind: ")), (Kind::Conflict, true));
    }
    assert!(bench.calls().is_empty());
    assert_eq!(bench.token(), Some(Secret::new(b"plain")));
}

#[test]
fn a_resume_is_the_same_computer_later() {
    let bench = Bench::new(true);
    bench.init(PLAIN).expect("applied");
    bench.calls();
    bench.init(&resume(1)).expect("applied");
    assert_eq!(bench.calls(), ["clock=1767323045", "seed=4", "connections=dropped"]);
    assert_eq!(bench.token(), Some(Secret::new(b"plain")));
    assert_eq!(bench.defaults.get().envs.len(), 1);
}

#[test]
fn a_clone_is_a_computer_of_its_own_with_nothing_of_what_the_other_was_told() {
    // A boot is as much of one; that it has no connections yet makes no difference.
    for kind in ["boot", "clone"] {
        let bench = Bench::new(true);
        bench.init(PLAIN).expect("applied");
        bench.calls();
        bench.init(&computer(kind, 1)).expect("applied");
        let identity = format!("identity=new {ID}");
        let expected = ["clock=1767323045", "seed=4", "prepared=new", "connections=dropped", identity.as_str()];
        assert_eq!(bench.calls(), expected);
        assert_eq!(bench.token(), Some(Secret::new(format!("of-{kind}").as_bytes())));
        let defaults = bench.defaults.get();
        assert_eq!((defaults.user.as_str(), defaults.workdir, defaults.envs.len()), ("root", None, 0));
    }
}

#[test]
fn an_epoch_is_applied_once_and_an_older_one_is_refused() {
    let bench = Bench::new(true);
    bench.init(&resume(5)).expect("applied");
    bench.calls();
    bench.init(&resume(5)).expect("done already");
    let fault = bench.init(&resume(4)).expect_err("older");
    assert_eq!(fault.http_status(), 409);
    assert!(fault.message.starts_with("restoreEpoch: "), "{}", fault.message);
    assert!(bench.calls().is_empty());
    bench.init(&resume(6)).expect("newer");
    assert_eq!(bench.calls().len(), 3);
    assert_eq!(bench.epoch.load(Ordering::Relaxed), 6);
}

#[test]
fn an_agent_that_takes_over_knows_the_epoch_of_the_last_one() {
    let bench = Bench::new(true);
    bench.epoch.store(5, Ordering::Relaxed);
    bench.init(&resume(5)).expect("done already");
    assert!(bench.calls().is_empty());
    assert_eq!(bench.init(&resume(4)).expect_err("older").kind, Kind::Conflict);
}

#[test]
fn a_part_that_fails_is_named_and_the_epoch_can_be_repeated() {
    for (part, named) in [
        ("clock", "timestamp: "),
        ("seed", "randomSeed: "),
        ("prepared", "hostname: "),
        ("connections", "connections: "),
        ("identity", "identity: "),
    ] {
        let bench = Bench::new(true);
        bench.init(PLAIN).expect("applied");
        bench.calls();
        *lock(&bench.fails) = Some(part);
        let fault = bench.init(&computer("clone", 2)).expect_err(part);
        assert_eq!(fault.http_status(), 500);
        assert!(fault.message.starts_with(named), "{}", fault.message);
        assert!(!bench.calls().iter().any(|call| call.starts_with("identity")), "{part}");
        assert_eq!(bench.token(), Some(Secret::new(b"plain")));
        assert_eq!(bench.defaults.get().envs.len(), 1);

        *lock(&bench.fails) = None;
        assert_eq!(bench.init(&computer("clone", 1)).expect_err("older").kind, Kind::Conflict);
        bench.init(&computer("clone", 2)).expect("repeated");
        assert_eq!(bench.token(), Some(Secret::new(b"of-clone")));
    }
}
