//! What a machine has to become after its memory was loaded or its kernel started, and which fields say so.

use serde_json::{Map, Value};

use crate::fault::{Fault, Outcome};

/// Numbers up to here are the same in every JSON parser.
const LARGEST_EPOCH: u64 = (1 << 53) - 1;

/// The `kind` of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// A kernel has started: a new computer, which has no connections yet.
    Boot,
    /// The same computer, later.
    Resume,
    /// A computer of its own, out of the memory of another.
    Clone,
}

/// Which restore a request belongs to. Epochs of one machine's memory only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restore {
    pub epoch: u64,
    pub kind: Restored,
}

impl Restore {
    /// Reads `restoreEpoch` and `kind`, and sees that the other fields are those that this kind of restore needs: a
    /// machine that keeps a part of what it was by oversight is no computer of its own.
    pub fn parse(fields: &Map<String, Value>) -> Outcome<Option<Self>> {
        let restore = match (present(fields, "restoreEpoch"), present(fields, "kind")) {
            (None, None) => None,
            (Some(epoch), Some(kind)) => Some(Self { epoch: read_epoch(epoch)?, kind: read_kind(kind)? }),
            (Some(_), None) => return Err(Fault::invalid("restoreEpoch: needs kind")),
            (None, Some(_)) => return Err(Fault::invalid("kind: needs restoreEpoch")),
        };
        let Rules { name, needs, refuses } = Rules::of(restore.map(|restore| restore.kind));
        if let Some(field) = needs.iter().find(|field| present(fields, field).is_none()) {
            return Err(Fault::invalid(format!("{field}: {name} needs it")));
        }
        if let Some(field) = refuses.iter().find(|field| present(fields, field).is_some()) {
            return Err(Fault::invalid(format!("{field}: {name} does not change it")));
        }
        Ok(restore)
    }
}

struct Rules {
    name: &'static str,
    needs: &'static [&'static str],
    refuses: &'static [&'static str],
}

impl Rules {
    fn of(kind: Option<Restored>) -> Self {
        const COMPUTER: &[&str] = &["timestamp", "randomSeed", "hostname", "machineId", "accessToken"];
        match kind {
            None => Self { name: "a call without kind", needs: &[], refuses: &["hostname", "machineId", "randomSeed"] },
            Some(Restored::Resume) => Self {
                name: "kind resume",
                needs: &["timestamp", "randomSeed"],
                refuses: &["hostname", "machineId", "accessToken", "defaultUser", "defaultWorkdir", "envVars"],
            },
            Some(Restored::Boot) => Self { name: "kind boot", needs: COMPUTER, refuses: &[] },
            Some(Restored::Clone) => Self { name: "kind clone", needs: COMPUTER, refuses: &[] },
        }
    }
}

fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn read_epoch(value: &Value) -> Outcome<u64> {
    let epoch = value.as_u64().filter(|epoch| (1..=LARGEST_EPOCH).contains(epoch));
    epoch.ok_or_else(|| Fault::invalid(format!("restoreEpoch: must be an integer from 1 to {LARGEST_EPOCH}")))
}

fn read_kind(value: &Value) -> Outcome<Restored> {
    match value.as_str() {
        Some("boot") => Ok(Restored::Boot),
        Some("resume") => Ok(Restored::Resume),
        Some("clone") => Ok(Restored::Clone),
        _ => Err(Fault::invalid("kind: must be boot, resume or clone")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Outcome<Option<Restore>> {
        let Value::Object(fields) = serde_json::from_str(body).expect(body) else {
            panic!("{body}");
        };
        Restore::parse(&fields)
    }

    #[test]
    fn epoch_and_kind_come_together_or_not_at_all() {
        assert_eq!(parse(r#"{"accessToken":"x","kind":null}"#).expect("none"), None);
        let resume = r#"{"restoreEpoch":3,"kind":"resume","timestamp":"t","randomSeed":"s"}"#;
        assert_eq!(parse(resume).expect("resume"), Some(Restore { epoch: 3, kind: Restored::Resume }));
        for (body, field) in [
            (r#"{"restoreEpoch":1}"#, "restoreEpoch"),
            (r#"{"kind":"clone"}"#, "kind"),
            (r#"{"kind":"fork","restoreEpoch":1}"#, "kind"),
            (r#"{"kind":1,"restoreEpoch":1}"#, "kind"),
            (r#"{"kind":"clone","restoreEpoch":0}"#, "restoreEpoch"),
            (r#"{"kind":"clone","restoreEpoch":1.5}"#, "restoreEpoch"),
            (r#"{"kind":"clone","restoreEpoch":"1"}"#, "restoreEpoch"),
            (r#"{"kind":"clone","restoreEpoch":9007199254740992}"#, "restoreEpoch"),
        ] {
            let fault = parse(body).expect_err(body);
            assert!(fault.message.starts_with(&format!("{field}: ")), "{body}: {}", fault.message);
        }
    }

    #[test]
    fn each_kind_has_its_fields() {
        for (body, field) in [
            (r#"{"hostname":"x"}"#, "hostname"),
            (r#"{"randomSeed":"x"}"#, "randomSeed"),
            (r#"{"kind":"resume","restoreEpoch":1,"timestamp":"t"}"#, "randomSeed"),
            (r#"{"kind":"resume","restoreEpoch":1,"timestamp":"t","randomSeed":"s","envVars":{}}"#, "envVars"),
            (r#"{"kind":"clone","restoreEpoch":1,"timestamp":"t","randomSeed":"s","hostname":"h"}"#, "machineId"),
            (
                r#"{"kind":"boot","restoreEpoch":1,"timestamp":"t","randomSeed":"s","hostname":"h","machineId":"m"}"#,
                "accessToken",
            ),
        ] {
            let fault = parse(body).expect_err(body);
            assert!(fault.message.starts_with(&format!("{field}: ")), "{body}: {}", fault.message);
        }
    }
}
