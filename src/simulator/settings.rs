//! How a simulator is started.

use time::OffsetDateTime;

/// What a simulator is like; `Default` is the friendly one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides every id, name and number; the same seed gives the same company.
    pub seed: u64,
    /// Refuse unknown query parameters and body members, which the vendor ignores.
    pub strict: bool,
    /// Count requests against the documented rate limits.
    pub rate_limits: bool,
    /// Faults to inject from the start, in the grammar of `fault_grammar`.
    pub faults: Option<String>,
    /// Lifetime of access tokens, in seconds.
    pub token_seconds: u64,
    /// The scopes registered on the OAuth client; none for all there are.
    pub client_scopes: Option<Vec<String>>,
    /// Records to seed, about; workflows add theirs. Past the first thousand they are plain ones, made when looked at.
    pub records: usize,
    /// Workflows to seed.
    pub workflows: usize,
    /// A fixed start of the clock for repeatable timestamps; none for real time.
    pub clock: Option<OffsetDateTime>,
}

impl Default for Settings {
    /// Six-hour tokens as at the vendor (ironclad-api.md §12), 60 workflows, 300 records, limits on, no faults.
    fn default() -> Self {
        Self {
            seed: 1,
            strict: false,
            rate_limits: true,
            faults: None,
            token_seconds: 21_600,
            client_scopes: None,
            records: 300,
            workflows: 60,
            clock: None,
        }
    }
}
