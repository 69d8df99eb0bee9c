//! What `/init` has set, kept where the agent's death does not reach it: an agent that takes over has the token and
//! the defaults of the last one, and not those of the boot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::defaults::{Defaults, SharedDefaults};
use crate::fault::{Fault, Outcome};
use crate::holder::Holder;
use crate::log;
use crate::secret::Secret;
use crate::token::Token;

/// All but the token, which is kept in front of this as its length and its bytes: no copy of it is left in memory.
#[derive(Serialize, Deserialize)]
struct Saved {
    defaults: Defaults,
    /// Of the last restore, so that an older one is refused as before.
    epoch: u64,
}

/// The token, the defaults and the epoch in force, and the holder that keeps a copy of them.
pub struct State {
    token: Arc<Token>,
    defaults: Arc<SharedDefaults>,
    epoch: Arc<AtomicU64>,
    holder: Option<Arc<Holder>>,
    /// Whoever saves later saves what is newer.
    turn: tokio::sync::Mutex<()>,
}

impl State {
    /// Without a holder, nothing is kept.
    pub fn new(
        token: Arc<Token>,
        defaults: Arc<SharedDefaults>,
        epoch: Arc<AtomicU64>,
        holder: Option<Arc<Holder>>,
    ) -> Self {
        Self { token, defaults, epoch, holder, turn: tokio::sync::Mutex::default() }
    }

    /// Keeps the state as it is now.
    pub async fn save(&self) -> Outcome<()> {
        let Some(holder) = &self.holder else {
            return Ok(());
        };
        let _turn = self.turn.lock().await;
        let bytes = self.encode().map_err(|error| Fault::internal(format!("state: {error}")))?;
        holder.save(bytes.bytes()).await.map_err(|error| Fault::io("state", &error))
    }

    /// Takes over what was kept. State that makes no sense is said on the console, and the boot's is used.
    pub fn restore(&self, bytes: &Secret) {
        let Some((token, saved)) = decode(bytes.bytes()) else {
            log::error("the last agent's state cannot be read");
            return;
        };
        if !token.is_empty() {
            self.token.replace(Secret::new(token));
        }
        self.defaults.update(|defaults| *defaults = saved.defaults);
        self.epoch.store(saved.epoch, Ordering::Relaxed);
    }

    fn encode(&self) -> serde_json::Result<Secret> {
        let secret = self.token.secret();
        let token = secret.as_ref().map_or(&[][..], Secret::bytes);
        let saved =
            serde_json::to_vec(&Saved { defaults: self.defaults.get(), epoch: self.epoch.load(Ordering::Relaxed) })?;
        // Never grows, so that only this copy of the token is to be wiped.
        let mut bytes = Vec::with_capacity(size_of::<u64>() + token.len() + saved.len());
        bytes.extend_from_slice(&(token.len() as u64).to_ne_bytes());
        bytes.extend_from_slice(token);
        bytes.extend_from_slice(&saved);
        Ok(Secret::from(bytes))
    }
}

fn decode(bytes: &[u8]) -> Option<(&[u8], Saved)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (token, saved) = rest.split_at_checked(usize::try_from(u64::from_ne_bytes(*length)).ok()?)?;
    Some((token, serde_json::from_slice(saved).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::token::digest;

    fn state() -> State {
        State::new(Arc::new(Token::new(digest(b"boot"))), Arc::default(), Arc::default(), None)
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let before = state();
        before.token.replace(Secret::new(b"token"));
        before.defaults.update(|defaults| {
            defaults.user = "user".into();
            defaults.envs.insert("A".into(), "b".into());
        });
        before.epoch.store(7, Ordering::Relaxed);
        let after = state();
        after.restore(&before.encode().expect("encoded"));
        assert_eq!(after.token.secret(), Some(Secret::new(b"token")));
        assert_eq!(after.epoch.load(Ordering::Relaxed), 7);
        assert_eq!(after.defaults.user(), "user");
        assert_eq!(after.defaults.get().envs["A"], "b");
        assert_eq!(after.defaults.get().workdir, None);
    }

    #[test]
    fn the_boot_token_stays_in_force_where_no_other_came() {
        let before = state();
        let after = state();
        after.token.replace(Secret::new(b"newer"));
        after.restore(&before.encode().expect("encoded"));
        assert_eq!(after.token.secret(), Some(Secret::new(b"newer")));
    }

    #[test]
    fn bytes_that_are_no_state_change_nothing() {
        for bytes in [&b""[..], b"1234567", &[0xff; 8], &9_u64.to_ne_bytes(), b"\0\0\0\0\0\0\0\0{}"] {
            let state = state();
            state.restore(&Secret::new(bytes));
            assert_eq!((state.token.secret(), state.defaults.user()), (None, "root".into()), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_kept_comes_back(
            token in "[!-~]{1,40}",
            envs in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
            epoch: u64,
        ) {
            let before = state();
            before.token.replace(Secret::new(token.as_bytes()));
            before.defaults.update(|defaults| defaults.envs = envs.clone());
            before.epoch.store(epoch, Ordering::Relaxed);
            let after = state();
            after.restore(&before.encode().expect("encoded"));
            prop_assert_eq!(after.token.secret(), Some(Secret::new(token.as_bytes())));
            prop_assert_eq!(after.defaults.get().envs, envs);
            prop_assert_eq!(after.epoch.load(Ordering::Relaxed), epoch);
        }

        #[test]
        fn no_bytes_panic(length in 0_u64..40, rest: Vec<u8>) {
            let _saved = decode(&rest);
            let _saved = decode(&[&length.to_ne_bytes()[..], &rest].concat());
        }
    }
}
