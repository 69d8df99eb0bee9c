//! Blocking work, off the event loop, with the rights of a user. For another user the work gets a thread of
//! its own that ends with it: an identity put on a pooled thread could leak into the next request.

use std::sync::Arc;
use std::{io, thread};

use super::User;
use super::credentials::{assume_thread, is_self};
use crate::fault::{Fault, Outcome};

/// Runs `work` on the blocking pool with envd's own rights.
pub async fn blocking<T, F>(work: F) -> Outcome<T>
where
    T: Send + 'static,
    F: FnOnce() -> Outcome<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(died()),
    }
}

/// Runs `work` with the file access rights of `user`; files it makes belong to that user.
pub async fn run_as<T, F>(user: &Arc<User>, work: F) -> Outcome<T>
where
    T: Send + 'static,
    F: FnOnce() -> Outcome<T> + Send + 'static,
{
    if is_self(user) {
        return blocking(work).await;
    }
    let user = Arc::clone(user);
    blocking(move || on_own_thread(user, work)).await
}

fn on_own_thread<T, F>(user: Arc<User>, work: F) -> Outcome<T>
where
    T: Send + 'static,
    F: FnOnce() -> Outcome<T> + Send + 'static,
{
    let assumed = move || {
        assume_thread(&user).map_err(|error| refused(&user, &error))?;
        work()
    };
    let spawned = thread::Builder::new().name("as-user".into()).spawn(assumed);
    let handle = spawned.map_err(|error| Fault::io("thread", &error))?;
    handle.join().unwrap_or_else(|_| Err(died()))
}

fn refused(user: &User, error: &io::Error) -> Fault {
    Fault::io(&format!("cannot act as user '{}'", user.name), error)
}

fn died() -> Fault {
    Fault::internal("the operation failed unexpectedly")
}
