//! The one catalogue of what can go wrong with a request. Each protocol's edge maps a [`Fault`] to its own
//! status; nothing is ever decided by the text of a message.

use std::io;

use connectrpc::{ConnectError, ErrorCode};
use http::StatusCode;

/// What kind of failure it is: all that a client's program decides by. [`Fault::http_status`] and the conversion to a
/// [`ConnectError`] say which status it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    MethodNotAllowed,
    /// The client accepts nothing that there is.
    NotAcceptable,
    AlreadyExists,
    FailedPrecondition,
    /// What was asked for does not fit what the agent is or has seen; asking again does not help.
    Conflict,
    /// A condition that the client made does not hold.
    ConditionFailed,
    OutOfRange,
    NoSpace,
    TooLarge,
    /// A bound on how many there may be at a time is reached; later is fine.
    TooMany,
    /// What was asked for is lost for this caller, see the message.
    DataLoss,
    DeadlineExceeded,
    Unimplemented,
    Internal,
}

/// Why a request failed; the message names the field and says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
}

/// What a fallible step of a request answers.
pub type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// The message goes to the client as it is, so it must not hold a secret.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The request itself is wrong; the message begins with the field.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidArgument, message)
    }

    /// The agent or the machine failed, through no fault of the request.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Maps an error of the operating system; `subject` is the field or path it happened to.
    pub fn io(subject: &str, error: &io::Error) -> Self {
        Self::new(kind_of(error), format!("{subject}: {}", reason(error)))
    }

    /// The status on the plain HTTP routes; always 4xx or 5xx.
    pub fn http_status(&self) -> StatusCode {
        match self.kind {
            Kind::InvalidArgument | Kind::FailedPrecondition => StatusCode::BAD_REQUEST,
            Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
            Kind::PermissionDenied => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Kind::AlreadyExists | Kind::Conflict => StatusCode::CONFLICT,
            Kind::ConditionFailed => StatusCode::PRECONDITION_FAILED,
            Kind::OutOfRange => StatusCode::RANGE_NOT_SATISFIABLE,
            Kind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Kind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Kind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Kind::DataLoss | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Fault> for ConnectError {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            Kind::InvalidArgument | Kind::NotAcceptable => ErrorCode::InvalidArgument,
            Kind::Unauthenticated => ErrorCode::Unauthenticated,
            Kind::PermissionDenied => ErrorCode::PermissionDenied,
            Kind::NotFound => ErrorCode::NotFound,
            Kind::AlreadyExists => ErrorCode::AlreadyExists,
            Kind::FailedPrecondition | Kind::Conflict | Kind::ConditionFailed => ErrorCode::FailedPrecondition,
            Kind::OutOfRange => ErrorCode::OutOfRange,
            Kind::NoSpace | Kind::TooLarge | Kind::TooMany => ErrorCode::ResourceExhausted,
            Kind::DataLoss => ErrorCode::DataLoss,
            Kind::DeadlineExceeded => ErrorCode::DeadlineExceeded,
            Kind::MethodNotAllowed | Kind::Unimplemented => ErrorCode::Unimplemented,
            Kind::Internal => ErrorCode::Internal,
        };
        ConnectError::new(code, fault.message)
    }
}

fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::PermissionDenied,
        io::ErrorKind::AlreadyExists => Kind::AlreadyExists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
        io::ErrorKind::FileTooLarge => Kind::TooLarge,
        io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::ArgumentListTooLong => Kind::InvalidArgument,
        io::ErrorKind::DirectoryNotEmpty
        | io::ErrorKind::CrossesDevices
        | io::ErrorKind::ResourceBusy
        | io::ErrorKind::ExecutableFileBusy
        | io::ErrorKind::TooManyLinks => Kind::FailedPrecondition,
        // ELOOP has no stable ErrorKind.
        _ if error.raw_os_error() == Some(libc::ELOOP) => Kind::InvalidArgument,
        _ => Kind::Internal,
    }
}

/// The kernel's words without Rust's "(os error N)".
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_have_their_own_status() {
        for (errno, status, code) in [
            (libc::ENOENT, 404, ErrorCode::NotFound),
            (libc::EACCES, 403, ErrorCode::PermissionDenied),
            (libc::EPERM, 403, ErrorCode::PermissionDenied),
            (libc::EROFS, 403, ErrorCode::PermissionDenied),
            (libc::ENOTDIR, 400, ErrorCode::InvalidArgument),
            (libc::ELOOP, 400, ErrorCode::InvalidArgument),
            (libc::ENAMETOOLONG, 400, ErrorCode::InvalidArgument),
            (libc::ENOSPC, 507, ErrorCode::ResourceExhausted),
            (libc::EDQUOT, 507, ErrorCode::ResourceExhausted),
            (libc::EFBIG, 413, ErrorCode::ResourceExhausted),
            (libc::EXDEV, 400, ErrorCode::FailedPrecondition),
            (libc::EBUSY, 400, ErrorCode::FailedPrecondition),
            (libc::ETXTBSY, 400, ErrorCode::FailedPrecondition),
            (libc::EMLINK, 400, ErrorCode::FailedPrecondition),
            (libc::EIO, 500, ErrorCode::Internal),
        ] {
            let fault = Fault::io("path", &io::Error::from_raw_os_error(errno));
            assert_eq!(fault.http_status().as_u16(), status, "{errno}");
            assert!(fault.message.starts_with("path: ") && !fault.message.contains("os error"), "{}", fault.message);
            assert_eq!(ConnectError::from(fault).code, code, "{errno}");
        }
    }
}
