//! How a process ended, in the words that clients of the wire know.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::proto::process::process_event::EndEvent;

/// `exit status N` with the code, or `signal: NAME` with -1 and `exited` false.
pub fn end_event(status: ExitStatus) -> EndEvent {
    let mut event = EndEvent::default();
    match (status.code(), status.signal()) {
        (Some(code), _) => {
            event.exit_code = code;
            event.exited = true;
            event.status = format!("exit status {code}");
        }
        (None, signal) => {
            event.exit_code = -1;
            event.signal = signal.and_then(|number| u32::try_from(number).ok());
            event.status = format!("signal: {}", signal_text(signal.unwrap_or_default()));
            if status.core_dumped() {
                event.status.push_str(" (core dumped)");
            }
        }
    }
    event.error = (!status.success()).then(|| event.status.clone());
    event
}

fn signal_text(signal: i32) -> String {
    let text = match signal {
        libc::SIGHUP => "hangup",
        libc::SIGINT => "interrupt",
        libc::SIGQUIT => "quit",
        libc::SIGILL => "illegal instruction",
        libc::SIGTRAP => "trace/breakpoint trap",
        libc::SIGABRT => "aborted",
        libc::SIGBUS => "bus error",
        libc::SIGFPE => "floating point exception",
        libc::SIGKILL => "killed",
        libc::SIGUSR1 => "user defined signal 1",
        libc::SIGSEGV => "segmentation fault",
        libc::SIGUSR2 => "user defined signal 2",
        libc::SIGPIPE => "broken pipe",
        libc::SIGALRM => "alarm clock",
        libc::SIGTERM => "terminated",
        libc::SIGXCPU => "cpu time limit exceeded",
        libc::SIGXFSZ => "file size limit exceeded",
        libc::SIGSYS => "bad system call",
        _ => return format!("signal {signal}"),
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_reported_as_it_is() {
        let event = end_event(ExitStatus::from_raw(3 << 8));
        assert_eq!((event.exit_code, event.exited, event.status.as_str()), (3, true, "exit status 3"));
        assert_eq!(event.error.as_deref(), Some("exit status 3"));
        assert_eq!(end_event(ExitStatus::from_raw(0)).error, None);
    }

    #[test]
    fn a_signal_is_named_and_has_no_code() {
        let event = end_event(ExitStatus::from_raw(libc::SIGKILL));
        assert_eq!((event.exit_code, event.exited, event.status.as_str()), (-1, false, "signal: killed"));
        let core = end_event(ExitStatus::from_raw(libc::SIGSEGV | 0x80));
        assert_eq!(core.status, "signal: segmentation fault (core dumped)");
        assert_eq!(end_event(ExitStatus::from_raw(40)).status, "signal: signal 40");
    }
}
