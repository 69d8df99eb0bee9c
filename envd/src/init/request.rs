//! The body of `/init`, read field by field so that an error can name the field.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::identity::Identity;
use super::restore::Restore;
use super::timestamp::Timestamp;
use crate::fault::{Fault, Kind, Outcome};
use crate::secret::Secret;
use crate::users;

const MAX_TOKEN_BYTES: usize = 4096;
const MAX_SEED_BYTES: usize = 4096;
/// `HOST_NAME_MAX` of Linux.
const MAX_HOSTNAME_BYTES: usize = 64;

/// A valid request; `None` leaves the part as it is.
#[derive(Debug, Default)]
pub struct Init {
    pub token: Option<Secret>,
    pub env_vars: Option<BTreeMap<String, String>>,
    pub default_user: Option<String>,
    pub default_workdir: Option<String>,
    pub timestamp: Option<Timestamp>,
    pub random_seed: Option<Vec<u8>>,
    pub restore: Option<Restore>,
    /// Exactly when the restore makes a computer of its own.
    pub identity: Option<Identity>,
}

impl Init {
    /// Reads `/etc/passwd` for the default user: call it where blocking is allowed.
    pub fn parse(body: &[u8]) -> Outcome<Self> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let value: Value =
            serde_json::from_slice(body).map_err(|error| Fault::invalid(format!("body: not JSON: {error}")))?;
        let Value::Object(fields) = value else {
            return Err(Fault::invalid("body: must be a JSON object"));
        };
        let restore = Restore::parse(&fields)?;
        Ok(Self {
            token: text(&fields, "accessToken", token)?,
            env_vars: envs(&fields)?,
            default_user: text(&fields, "defaultUser", user)?,
            default_workdir: text(&fields, "defaultWorkdir", workdir)?,
            timestamp: text(&fields, "timestamp", |value| {
                Timestamp::parse(value).ok_or("must be an RFC 3339 time such as 2026-01-02T03:04:05.678Z".into())
            })?,
            random_seed: text(&fields, "randomSeed", seed)?,
            restore,
            identity: identity(&fields)?,
        })
    }
}

type Checked<T> = Result<T, String>;

fn text<T>(fields: &Map<String, Value>, name: &str, check: impl FnOnce(&str) -> Checked<T>) -> Outcome<Option<T>> {
    let checked = match fields.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(value)) => check(value),
        Some(_) => Err("must be a string".into()),
    };
    checked.map(Some).map_err(|reason| Fault::new(Kind::InvalidArgument, format!("{name}: {reason}")))
}

/// Both fields or neither: see [`Restore::parse`].
fn identity(fields: &Map<String, Value>) -> Outcome<Option<Identity>> {
    let hostname = text(fields, "hostname", hostname)?;
    let machine_id = text(fields, "machineId", machine_id)?;
    Ok(hostname.zip(machine_id).map(|(hostname, machine_id)| Identity { hostname, machine_id }))
}

fn envs(fields: &Map<String, Value>) -> Outcome<Option<BTreeMap<String, String>>> {
    let entries = match fields.get("envVars") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(entries)) => entries,
        Some(_) => return Err(Fault::invalid("envVars: must be an object of strings")),
    };
    let mut envs = BTreeMap::new();
    for (name, value) in entries {
        let Value::String(value) = value else {
            return Err(Fault::invalid(format!("envVars: the value of '{name}' must be a string")));
        };
        check_env("envVars", name, value)?;
        envs.insert(name.clone(), value.clone());
    }
    Ok(Some(envs))
}

/// What `execve` can carry.
pub fn check_env(field: &str, name: &str, value: &str) -> Outcome<()> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(Fault::invalid(format!("{field}: a name must not be empty nor contain '=' or NUL")));
    }
    if value.contains('\0') {
        return Err(Fault::invalid(format!("{field}: the value of '{name}' must not contain NUL")));
    }
    Ok(())
}

fn token(value: &str) -> Checked<Secret> {
    let visible = value.bytes().all(|byte| byte.is_ascii_graphic());
    if value.is_empty() || value.len() > MAX_TOKEN_BYTES || !visible {
        return Err(format!("must be 1 to {MAX_TOKEN_BYTES} visible ASCII characters"));
    }
    Ok(Secret::new(value.as_bytes()))
}

fn user(value: &str) -> Checked<String> {
    users::resolve(value).map(|user| user.name.clone()).map_err(|fault| fault.message)
}

fn workdir(value: &str) -> Checked<String> {
    let understood = value.starts_with('/') || value == "~" || value.starts_with("~/");
    if !understood || value.contains('\0') {
        return Err("must start with '/' or '~/'".into());
    }
    Ok(value.to_owned())
}

fn hostname(value: &str) -> Checked<String> {
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && label.len() <= 63 && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    if value.len() > MAX_HOSTNAME_BYTES || !value.split('.').all(label) {
        return Err(format!("must be at most {MAX_HOSTNAME_BYTES} letters, digits, '-' and '.' (RFC 1123)"));
    }
    Ok(value.to_owned())
}

fn machine_id(value: &str) -> Checked<String> {
    let hex = value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if value.len() != 32 || !hex || value.bytes().all(|byte| byte == b'0') {
        return Err("must be 32 lower-case hex digits, not all zero".into());
    }
    Ok(value.to_owned())
}

fn seed(value: &str) -> Checked<Vec<u8>> {
    let seed = BASE64_STANDARD.decode(value).map_err(|_| "must be base64".to_owned())?;
    if seed.is_empty() || seed.len() > MAX_SEED_BYTES {
        return Err(format!("must be 1 to {MAX_SEED_BYTES} bytes"));
    }
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_body_asks_for_nothing_and_unknown_fields_are_ignored() {
        for body in ["", " \n", "{}", r#"{"later":[1],"hostname":null}"#] {
            let init = Init::parse(body.as_bytes()).expect(body);
            assert!(init.restore.is_none() && init.token.is_none() && init.env_vars.is_none());
        }
    }

    #[test]
    fn an_error_names_the_field() {
        for (body, field) in [
            ("[]", "body"),
            ("{", "body"),
            (r#"{"accessToken":""}"#, "accessToken"),
            (r#"{"accessToken":"a b"}"#, "accessToken"),
            (r#"{"accessToken":1}"#, "accessToken"),
            (r#"{"envVars":[]}"#, "envVars"),
            (r#"{"envVars":{"A":1}}"#, "envVars"),
            (r#"{"envVars":{"A=B":"1"}}"#, "envVars"),
            (r#"{"envVars":{"":"1"}}"#, "envVars"),
            (r#"{"envVars":{"A":"\u0000"}}"#, "envVars"),
            (r#"{"defaultUser":"no-such-user"}"#, "defaultUser"),
            (r#"{"defaultWorkdir":"relative"}"#, "defaultWorkdir"),
            (r#"{"timestamp":"yesterday"}"#, "timestamp"),
        ] {
            let fault = Init::parse(body.as_bytes()).expect_err(body);
            assert_eq!(fault.kind, Kind::InvalidArgument);
            assert!(fault.message.starts_with(&format!("{field}: ")), "{body}: {}", fault.message);
        }
    }

    #[test]
    fn what_a_machine_is_told_of_itself_is_checked() {
        for bad in ["-bad", "", "a/b", "a..b", &"a.".repeat(33)] {
            assert!(hostname(bad).is_err(), "{bad}");
        }
        for bad in ["0123", "00000000000000000000000000000000", "0123456789ABCDEF0123456789ABCDEF"] {
            assert!(machine_id(bad).is_err(), "{bad}");
        }
        for bad in ["*", "", &BASE64_STANDARD.encode([1; MAX_SEED_BYTES + 1])] {
            assert!(seed(bad).is_err(), "{bad}");
        }
        assert!(hostname("a.b-c").is_ok() && machine_id("0123456789abcdef0123456789abcdef").is_ok());
        assert_eq!(seed("AAEC"), Ok(vec![0, 1, 2]));
    }

    const NAMES: [&str; 10] = [
        "accessToken",
        "envVars",
        "defaultUser",
        "defaultWorkdir",
        "timestamp",
        "randomSeed",
        "hostname",
        "machineId",
        "kind",
        "restoreEpoch",
    ];

    proptest! {
        #[test]
        fn a_body_is_understood_or_an_error_names_the_field(
            fields in prop::collection::vec(
                (
                    prop::sample::select(&NAMES[..]),
                    r#"(null|1|-1|1e999|"[a-z/~=.0-9 -]{0,40}"|"\\u0000"|\[\]|\{\}|\{"A=":"b"\}|\{"A":1\})"#,
                ),
                0..5,
            ),
            bytes: Vec<u8>,
        ) {
            let members: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            if let Err(fault) = Init::parse(format!("{{{}}}", members.join(",")).as_bytes()) {
                let (field, _) = fault.message.split_once(": ").unwrap_or_default();
                prop_assert!(field == "body" || NAMES.contains(&field), "{}", fault.message);
                prop_assert_eq!(fault.kind, Kind::InvalidArgument);
            }
            if let Err(fault) = Init::parse(&bytes) {
                prop_assert!(fault.message.starts_with("body: "), "{}", fault.message);
            }
        }
    }
}
