//! The one error of springline: a CNI code, a chain of contexts, and hints.
//!
//! The code says what the *caller* can do about it (the numbers are those of the CNI specification,
//! section "Error", plus our own from 100 on); the chain says what we were doing, outermost first;
//! a hint says what a person can do. Nothing below the fronts prints: they turn an [`Error`] into one
//! JSON document or one message on stderr.

use std::fmt;

/// Why a verb failed, as the number that CNI runtimes see in `code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// The configuration's `cniVersion` is not one we speak.
    IncompatibleVersion = 1,
    /// A key or value of the configuration that we do not know; the message names both.
    UnsupportedField = 2,
    /// The container is not known (any more): the runtime need not call DEL.
    UnknownContainer = 3,
    /// A `CNI_*` variable is missing or malformed.
    InvalidEnvironment = 4,
    /// Reading or writing a file or stream failed.
    Io = 5,
    /// The configuration is not JSON of the expected shape.
    Decode = 6,
    /// The configuration is well-formed but asks for something impossible or contradictory.
    InvalidConfig = 7,
    /// `CNI_NETNS` is no network namespace, or is the host's own.
    InvalidNetns = 8,
    /// A transient shortage (range full, lock held): try again later.
    TryAgainLater = 11,
    /// STATUS: an ADD would fail now.
    Unavailable = 50,
    /// STATUS: an ADD would fail, and running containers may be impaired too.
    LimitedConnectivity = 51,
    /// The kernel refused an operation; `details` has operation, object, errno and its own message.
    Kernel = 100,
    /// CHECK found that what was set up is no longer there.
    Drift = 101,
    /// A delegated IPAM plugin failed with a code that is its own.
    Delegate = 103,
    /// A defect of springline itself.
    Internal = 102,
}

/// An error with its code, context chain and hints; see the module's documentation.
#[derive(Debug)]
pub struct Error {
    /// What the caller can do about it.
    pub code: Code,
    /// What we were doing, outermost first, down to the cause.
    pub source: anyhow::Error,
    /// What a person can do about it.
    pub hints: Vec<String>,
}

/// The result of everything above the kernel and store floors.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `code` that says `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, source: anyhow::Error::msg(message.into()), hints: Vec::new() }
    }

    /// The same error with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same error, seen from further out: `doing` becomes its first line.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display + Send + Sync + 'static) -> Self {
        self.source = self.source.context(doing);
        self
    }

    /// The same error, with a hint if the cause is a lack of privileges.
    #[must_use]
    pub fn with_permission_hint(self) -> Self {
        let denied = |cause: &(dyn std::error::Error + 'static)| {
            let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            kind == Some(std::io::ErrorKind::PermissionDenied)
        };
        if self.source.chain().any(denied) { self.hint(Self::PRIVILEGES) } else { self }
    }

    /// All of them as one: the first, with the others as hints; fine if there are none. For work that goes on after
    /// errors.
    pub fn all(errors: Vec<Self>) -> Result<()> {
        let mut errors = errors.into_iter();
        let Some(first) = errors.next() else { return Ok(()) };
        Err(errors.fold(first, |first, other| first.hint(format!("{:#}", other.source))))
    }

    /// What to do about a lack of privileges.
    pub const PRIVILEGES: &str = "springline needs CAP_NET_ADMIN in the host's namespace and the container's";

    /// The outermost line: what failed.
    #[must_use]
    pub fn message(&self) -> String {
        self.source.to_string()
    }

    /// Everything below the outermost line: causes, then hints; empty if there is nothing to add.
    #[must_use]
    pub fn details(&self) -> String {
        let causes = self.source.chain().skip(1).map(ToString::to_string);
        let hints = self.hints.iter().map(|hint| format!("hint: {hint}"));
        causes.chain(hints).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.source)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Gives foreign errors a [`Code`] and a context in one go.
pub trait Coded<T> {
    /// Turns the error into ours: `code`, and `doing` as its first line.
    fn coded<D: fmt::Display + Send + Sync + 'static>(self, code: Code, doing: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Coded<T> for std::result::Result<T, E> {
    fn coded<D: fmt::Display + Send + Sync + 'static>(self, code: Code, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error { code, source: error.into().context(doing()), hints: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_the_outermost_line_and_details_the_rest() {
        let error = Error::new(Code::Kernel, "File exists (errno 17)").hint("look").context("add route 10.1.2.3/32");
        assert_eq!(error.message(), "add route 10.1.2.3/32");
        assert_eq!(error.details(), "File exists (errno 17); hint: look");
        assert_eq!(error.to_string(), "add route 10.1.2.3/32: File exists (errno 17)\n  hint: look");
    }
}
