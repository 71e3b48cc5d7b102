//! What can be wrong with the configuration, in the operator's words.

use std::path::PathBuf;

use super::environment::variable_of;
use crate::catalog::CatalogError;

/// Why the program cannot start as it is configured. No message ever holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting has a value that it cannot have.
    #[error("{setting}: {fault}")]
    Invalid {
        /// The setting, by flag and environment variable.
        setting: String,
        /// What is wrong, and what would be right.
        fault: String,
    },
    /// An environment variable is no UTF-8.
    #[error("{variable} is not UTF-8 text; set it again, or unset it")]
    NotText {
        /// The variable.
        variable: String,
    },
    /// The settings file cannot be read.
    #[error(
        "the settings file {path} cannot be read ({source}); check --config (IRONCLAD_MCP_CONFIG)",
        path = .path.display()
    )]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The settings file is not TOML, or has a value of the wrong type.
    #[error("the settings file {path} is wrong:\n{fault}", path = .path.display())]
    FileWrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        fault: String,
    },
    /// The settings file has a key that no setting has.
    #[error("the settings file {path} has the unknown key {key}; {advice}", path = .path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The nearest known key, or where the value belongs.
        advice: String,
    },
    /// A secret is given twice.
    #[error("{name} and {name}_FILE are both set; unset one of them")]
    SecretTwice {
        /// The variable.
        name: &'static str,
    },
    /// The file of a secret cannot be read.
    #[error(
        "{name}_FILE names {path}, which cannot be read ({source}); check the path and who may read it",
        path = .path.display()
    )]
    SecretUnreadable {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A secret is nothing that could be sent.
    #[error("{name} {fault}; set it again, as one line of plain text")]
    SecretWrong {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Client credentials are half there.
    #[error("{missing} is not set, and client credentials need it beside {present}")]
    HalfAClient {
        /// The variable that is set.
        present: &'static str,
        /// The variable that is not.
        missing: &'static str,
    },
    /// Client credentials without an acting user (ironclad-api.md §2).
    #[error(
        "client credentials need an acting user: set --as-user-email (IRONCLAD_AS_USER_EMAIL) or --as-user-id \
         (IRONCLAD_AS_USER_ID), or sign in with `ironclad-mcp login`"
    )]
    NoActingUser,
    /// There is a kept login, or should be one, that cannot be used.
    #[error("the kept login cannot be used: {0}; run `ironclad-mcp login` again, or `ironclad-mcp logout`")]
    KeptLogin(String),
    /// There is no state directory for the audit log.
    #[error(
        "no home directory is known, so there is no place for the audit log; set --audit-log (IRONCLAD_AUDIT_LOG) to \
         a file, or to - for stderr"
    )]
    NoStateDirectory,
    /// The manifests, or the settings that name tools, are wrong.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl ConfigError {
    /// A setting that has a value it cannot have, by its key in the settings file.
    pub(crate) fn invalid(key: &str, fault: impl Into<String>) -> Self {
        let flag = key.replace('_', "-");
        let setting = match variable_of(key) {
            Some(variable) => format!("--{flag} ({variable})"),
            None => format!("--{flag}"),
        };
        Self::Invalid { setting, fault: fault.into() }
    }
}
