//! From the command line to a serving agent.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::cli::{self, Options};
use crate::holder::Legacy;
use crate::token::TokenDigest;
use crate::{guest, holder, log, process, server};

/// Threads for blocking work come and go; an idle agent has one thread.
const MAX_BLOCKING_THREADS: usize = 32;
/// Connections that wait to be accepted, as they do while an agent that died is started again.
const BACKLOG: i32 = 1024;
const LARGE_BUFFER: i32 = 64 << 10;
const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(2);

/// Keeps an agent running until SIGTERM or SIGINT. An error is one sentence for the console.
pub fn supervise(options: &Options) -> Result<ExitCode, String> {
    prepare_process();
    if options.in_guest {
        guest::protect();
    }
    let listener = listen(options.listen)?;
    let args = std::env::args().skip(1).filter(|arg| arg != holder::SUPERVISE).collect();
    holder::supervise(listener, args).map_err(|error| format!("holder: {error}"))
}

/// Serves until SIGTERM or SIGINT. An error is one sentence for the console.
pub fn run(options: Options) -> Result<(), String> {
    let token = boot_token(options.token)?;
    prepare_process();
    if options.held.is_some() {
        // Started through /proc/self/exe, it would be called `exe`.
        // SAFETY: the string is NUL-terminated and alive.
        unsafe { libc::prctl(libc::PR_SET_NAME, c"envd".as_ptr()) };
    }
    if options.in_guest {
        guest::protect();
    }
    // One thread: a guest often has one CPU, the work is waiting and copying, and each further thread costs
    // memory in every capsule.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_THREAD_IDLE)
        .on_thread_stop(give_back_memory)
        .build()
        .map_err(|error| format!("runtime: {error}"))?;
    runtime.block_on(serve(options, token))?;
    // A blocking call that hangs on a dead file system must not keep the agent from stopping.
    runtime.shutdown_background();
    Ok(())
}

async fn serve(options: Options, token: TokenDigest) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM: {error}"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| format!("SIGINT: {error}"))?;
    let (listener, legacy) = begin(&options)?;
    let listener = TcpListener::from_std(listener).map_err(|error| format!("listener: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("listener: {error}"))?;
    let holder = legacy.as_ref().map(|legacy| Arc::clone(&legacy.holder));
    let app = Arc::new(App::new(token, options.in_guest, legacy).await);
    if let Some(holder) = holder {
        holder.serving().await.map_err(|error| format!("holder: {error}"))?;
    }
    // The one line on stdout, for whoever asked for port 0.
    let _lost = writeln!(io::stdout(), "listening on {address}").and_then(|()| io::stdout().flush());
    log::info(&format!("envd {} listening on {address}", env!("CARGO_PKG_VERSION")));
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server::serve(listener, app, stop).await;
    log::info("stopped");
    Ok(())
}

/// A listener, and what an earlier agent left if a holder started this one.
fn begin(options: &Options) -> Result<(std::net::TcpListener, Option<Legacy>), String> {
    let Some(held) = options.held else {
        return Ok((listen(options.listen)?, None));
    };
    let (socket, listener) = held.take().map_err(|error| format!("{}: {error}", holder::HELD))?;
    let legacy = holder::connect(socket).map_err(|error| format!("holder: {error}"))?;
    Ok((listener, Some(legacy)))
}

/// The listener is non-blocking, and like tokio's in the rest.
fn listen(address: SocketAddr) -> Result<std::net::TcpListener, String> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<_, io::Error>(socket.into())
    };
    bind().map_err(|error| format!("{address}: {error}"))
}

fn boot_token(option: Option<TokenDigest>) -> Result<TokenDigest, String> {
    if let Some(digest) = option {
        return Ok(digest);
    }
    let command_line = fs::read_to_string("/proc/cmdline").map_err(|error| format!("/proc/cmdline: {error}"))?;
    cli::kernel_token(&command_line)?.ok_or_else(|| {
        "no access token: give --token-sha256 HEX, or wrenn.token_sha256=HEX on the kernel command line".into()
    })
}

/// The guest gets back what the work that is over has used. Called when there has been none for a while.
fn give_back_memory() {
    // SAFETY: the call takes a number only.
    unsafe { libc::malloc_trim(0) };
}

fn prepare_process() {
    std::panic::set_hook(Box::new(|panic| {
        // The place only: a panic's text may quote what a user sent.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error(&format!("panic at {place}"));
    }));
    // One malloc arena instead of one per thread keeps memory small. Large buffers, which hold output and uploads, get
    // mappings of their own, so that they are given back when they are freed, whatever lies behind them.
    // SAFETY: the calls take numbers only.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BUFFER);
        libc::umask(0o022);
    }
    if let Err(error) = process::raise_descriptor_limit() {
        log::error(&format!("RLIMIT_NOFILE: {error}"));
    }
    // Whatever the starter left open is not for the processes that we start.
    // SAFETY: the call takes numbers only; it sets a flag and closes nothing.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result != 0 {
        log::error(&format!("close_range: {}", io::Error::last_os_error()));
    }
}
