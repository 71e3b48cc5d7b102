//! The one failure that a caller sees: what happened, and what to do now.

use serde_json::{Map, Value, json};

/// The closed list of error codes (CONTRACT, "Errors"). They are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The arguments fail the tool's schema or the template's launch form.
    InvalidArguments,
    /// Policy refuses the tool.
    AccessDenied,
    /// The person said no, or could not be asked.
    ConfirmationDeclined,
    /// A 401 that a fresh token did not cure, or no token can be had.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404, or Ironclad's own `NOT_FOUND`.
    NotFound,
    /// 409, or Ironclad's own `INVALID_STATE` or `CONFLICT`.
    Conflict,
    /// Any other 4xx.
    Rejected,
    /// The budget or a 429 outlasts the wait.
    RateLimited,
    /// Ironclad gave no sound answer to a read, or could not be reached.
    UpstreamUnavailable,
    /// A write was sent and no sound answer came back.
    OutcomeUnknown,
    /// The answer of a read is past the size limit.
    ResponseTooLarge,
    /// A write while the audit log cannot be written.
    AuditUnavailable,
    /// The client cancelled; seen only in the audit log.
    Cancelled,
}

impl Code {
    /// The code as callers and the audit log see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid_arguments",
            Self::AccessDenied => "access_denied",
            Self::ConfirmationDeclined => "confirmation_declined",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::RateLimited => "rate_limited",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::ResponseTooLarge => "response_too_large",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What became of the request behind a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing left this machine, or it surely never arrived.
    NotSent,
    /// Ironclad answered no.
    Refused,
    /// It was sent, and nobody can say.
    Unknown,
}

impl Outcome {
    /// The outcome as callers see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that is wrong with the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentFault {
    /// Where: `updates[0].path`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: Option<String>,
}

impl ArgumentFault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), expected: Some(expected.into()) }
    }
}

/// A failed call, as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .code.as_str())]
pub struct CallError {
    /// Which kind of failure.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What the caller can do now.
    pub hint: Option<String>,
    /// Ironclad's HTTP status.
    pub status: Option<u16>,
    /// The parameter that Ironclad names.
    pub param: Option<String>,
    /// The OAuth scope that the call needs.
    pub scope: Option<String>,
    /// Seconds until it is worth trying again.
    pub retry_after_s: Option<u64>,
    /// What became of the request.
    pub outcome: Option<Outcome>,
    /// Every fault of the arguments.
    pub errors: Vec<ArgumentFault>,
    /// Ironclad's id of the request, for its support.
    pub request_id: Option<String>,
    /// What the result's `_meta` says beside it.
    pub meta: Option<Box<Map<String, Value>>>,
}

impl CallError {
    /// A failure with nothing but its code, message and hint.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: Some(hint.into()),
            status: None,
            param: None,
            scope: None,
            retry_after_s: None,
            outcome: None,
            errors: Vec::new(),
            request_id: None,
            meta: None,
        }
    }

    /// The same failure with what became of its request.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Arguments that fail their schema: nothing was sent, and every fault is named.
    #[must_use]
    pub fn invalid_arguments(tool: &str, errors: Vec<ArgumentFault>) -> Self {
        let count = errors.len();
        let first = errors.first().map(|fault| format!("{}: {}", fault.path, fault.message)).unwrap_or_default();
        let message = match count {
            0 | 1 => format!("{tool} was not called: {first}"),
            _ => format!("{tool} was not called: {count} arguments are wrong, the first is {first}"),
        };
        let hint = errors
            .iter()
            .map(|fault| match &fault.expected {
                Some(expected) => format!("{}: give {expected}", fault.path),
                None => format!("{}: {}", fault.path, fault.message),
            })
            .collect::<Vec<_>>()
            .join("; ");
        Self { errors, ..Self::new(Code::InvalidArguments, message, hint).with_outcome(Outcome::NotSent) }
    }

    /// The `{"error": {…}}` object of a failed tool result; members that do not apply are absent.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut error = Map::new();
        error.insert("code".into(), self.code.as_str().into());
        error.insert("message".into(), self.message.as_str().into());
        let optional = [
            ("hint", self.hint.as_deref().map(Value::from)),
            ("status", self.status.map(Value::from)),
            ("param", self.param.as_deref().map(Value::from)),
            ("scope", self.scope.as_deref().map(Value::from)),
            ("retry_after_s", self.retry_after_s.map(Value::from)),
            ("outcome", self.outcome.map(|outcome| outcome.as_str().into())),
            ("errors", (!self.errors.is_empty()).then(|| self.errors.iter().map(fault_json).collect())),
            ("request_id", self.request_id.as_deref().map(Value::from)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                error.insert(name.into(), value);
            }
        }
        json!({ "error": error })
    }
}

fn fault_json(fault: &ArgumentFault) -> Value {
    match &fault.expected {
        Some(expected) => json!({ "path": fault.path, "message": fault.message, "expected": expected }),
        None => json!({ "path": fault.path, "message": fault.message }),
    }
}
