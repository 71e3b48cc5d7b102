//! Which scopes are asked for, what was granted, and what is asked for next where Ironclad refuses one.
//!
//! Ironclad refuses a whole sign-in for one scope that is not registered on the client (ironclad-api.md §2), and nothing
//! says that it names the one. Where each try is a request, the refused ones are found by halving; where a person
//! watches the tries in a browser, there are only a few fixed ones. Pure: what was answered in, what to ask out.

use std::collections::{BTreeSet, VecDeque};

/// The most requests that looking for the granted scopes may take.
const MAX_TRIES: u32 = 24;

/// The scopes to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Those that the published tools need; fewer, where Ironclad refuses some.
    Needed(Vec<String>),
    /// Those that the operator named, and never others.
    Named(Vec<String>),
}

impl Wanted {
    /// The scopes.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        match self {
            Self::Needed(scopes) | Self::Named(scopes) => scopes,
        }
    }
}

/// What the scopes of a token let the tools do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// What the token has; none where nothing is known.
    pub granted: Option<BTreeSet<String>>,
    /// What was asked for and not granted.
    pub withheld: BTreeSet<String>,
}

impl Grants {
    /// What is known when `asked` for and answered with `granted`; an answer without scopes grants all.
    #[must_use]
    pub fn of(asked: &[String], granted: Option<&[String]>) -> Self {
        let Some(granted) = granted else {
            // Without a wish there is no list, and all or nothing may have been granted.
            return Self { granted: (!asked.is_empty()).then(|| asked.iter().cloned().collect()), ..Self::default() };
        };
        let granted: BTreeSet<String> = granted.iter().cloned().collect();
        let withheld = asked.iter().filter(|scope| !granted.contains(*scope)).cloned().collect();
        Self { granted: Some(granted), withheld }
    }

    /// Whether a tool that needs the scope is of any use, as far as is known.
    #[must_use]
    pub fn allow(&self, scope: &str) -> bool {
        self.granted.as_ref().is_none_or(|granted| granted.contains(scope))
    }

    /// Whether Ironclad was asked for the scope and did not grant it.
    #[must_use]
    pub fn withhold(&self, scope: &str) -> bool {
        self.withheld.contains(scope)
    }
}

/// Finds the largest set of scopes that is granted, one request after the other.
#[derive(Debug)]
pub struct Search {
    /// Granted for sure.
    sure: Vec<String>,
    /// Asked for now, beside those.
    tried: Vec<String>,
    /// To be asked for later.
    left: VecDeque<Vec<String>>,
    tries: u32,
}

/// How a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// [`Search::ask`] has another set to ask for.
    Ask,
    /// Nothing more can be won; the last set that was granted stands.
    Done,
}

impl Search {
    /// A search that begins with everything.
    #[must_use]
    pub fn new(wanted: &[String]) -> Self {
        Self { sure: Vec::new(), tried: wanted.to_vec(), left: VecDeque::new(), tries: 0 }
    }

    /// What to ask for now.
    #[must_use]
    pub fn ask(&self) -> Vec<String> {
        self.sure.iter().chain(&self.tried).cloned().collect()
    }

    /// What was asked for is granted.
    pub fn granted(&mut self) -> Next {
        self.tries += 1;
        self.sure.append(&mut self.tried);
        self.advance()
    }

    /// What was asked for is refused, in these words.
    pub fn refused(&mut self, words: &str) -> Next {
        self.tries += 1;
        let tried = std::mem::take(&mut self.tried);
        let (named, rest): (Vec<_>, Vec<_>) = tried.into_iter().partition(|scope| names(words, scope));
        if !named.is_empty() {
            self.left.push_front(rest);
        } else if rest.len() > 1 {
            for part in parts(rest).into_iter().rev() {
                self.left.push_front(part);
            }
        }
        self.advance()
    }

    fn advance(&mut self) -> Next {
        if self.tries >= MAX_TRIES {
            self.left.clear();
        }
        while let Some(next) = self.left.pop_front() {
            if !next.is_empty() {
                self.tried = next;
                return Next::Ask;
            }
        }
        Next::Done
    }
}

/// Whether a refusal names the scope, and not merely one that begins alike.
fn names(words: &str, scope: &str) -> bool {
    words.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':'))).any(|word| {
        let word = word.trim_matches(['.', ':']);
        word == scope
    })
}

/// Splits a refused set where it is likeliest to be wrong: SCIM's scopes are registered apart, then by area.
fn parts(scopes: Vec<String>) -> Vec<Vec<String>> {
    let (public, other): (Vec<_>, Vec<_>) = scopes.into_iter().partition(|scope| scope.starts_with("public."));
    if !public.is_empty() && !other.is_empty() {
        return vec![public, other];
    }
    let scopes = if public.is_empty() { other } else { public };
    let mut areas: Vec<(String, Vec<String>)> = Vec::new();
    for scope in scopes {
        let area = area(&scope).to_owned();
        match areas.iter_mut().find(|(known, _)| *known == area) {
            Some((_, scopes)) => scopes.push(scope),
            None => areas.push((area, vec![scope])),
        }
    }
    if areas.len() > 1 {
        return areas.into_iter().map(|(_, scopes)| scopes).collect();
    }
    let mut first: Vec<String> = areas.into_iter().flat_map(|(_, scopes)| scopes).collect();
    let second = first.split_off(first.len() / 2);
    vec![first, second]
}

/// `public.workflows` of `public.workflows.readWorkflows`.
fn area(scope: &str) -> &str {
    scope.rsplit_once('.').map_or(scope, |(area, _)| area)
}

/// The sets to ask for in a browser, each smaller than the one before.
#[derive(Debug)]
pub struct Tiers {
    now: Vec<String>,
    left: VecDeque<Vec<String>>,
    /// Named by the operator: no smaller set will do.
    fixed: bool,
}

impl Tiers {
    /// Everything first; only what was named by hand stays as it is.
    #[must_use]
    pub fn new(wanted: &Wanted) -> Self {
        let scopes = wanted.scopes();
        let mut left = VecDeque::new();
        if matches!(wanted, Wanted::Needed(_)) {
            let only = |keep: &dyn Fn(&str) -> bool| -> Vec<String> {
                scopes.iter().filter(|scope| keep(scope)).cloned().collect()
            };
            let public = |scope: &str| scope.starts_with("public.");
            let core = |scope: &str| matches!(area(scope), "public.workflows" | "public.records");
            let reads = |scope: &str| scope.rsplit('.').next().is_some_and(|verb| verb.starts_with("read"));
            left.push_back(only(&public));
            left.push_back(only(&core));
            left.push_back(only(&|scope| core(scope) && reads(scope)));
            left.push_back(only(&|scope| area(scope) == "public.workflows" && reads(scope)));
        }
        Self { now: scopes.to_vec(), left, fixed: matches!(wanted, Wanted::Named(_)) }
    }

    /// What to ask for now.
    #[must_use]
    pub fn ask(&self) -> &[String] {
        &self.now
    }

    /// Goes on to a smaller set after a refusal in these words; `false` where there is none.
    pub fn narrow(&mut self, words: &str) -> bool {
        let unnamed: Vec<String> = self.now.iter().filter(|scope| !names(words, scope)).cloned().collect();
        if !self.fixed && unnamed.len() < self.now.len() && !unnamed.is_empty() {
            self.now = unnamed;
            return true;
        }
        while let Some(mut next) = self.left.pop_front() {
            next.retain(|scope| self.now.contains(scope));
            if !next.is_empty() && next.len() < self.now.len() {
                self.now = next;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};

    use super::*;

    const WANTED: [&str; 12] = [
        "public.records.createRecords",
        "public.records.readRecords",
        "public.records.readSchemas",
        "public.webhooks.createWebhooks",
        "public.webhooks.readWebhooks",
        "public.workflows.cancel",
        "public.workflows.createWorkflows",
        "public.workflows.readApprovals",
        "public.workflows.readDocuments",
        "public.workflows.readSchemas",
        "public.workflows.readWorkflows",
        "scim.users.readUsers",
    ];

    fn wanted() -> Vec<String> {
        WANTED.iter().map(|scope| (*scope).to_owned()).collect()
    }

    /// Plays Ironclad: what the search finds, and in how many tries.
    fn found(registered: &[&str], named: bool) -> (Vec<String>, u32) {
        let mut search = Search::new(&wanted());
        let mut granted = Vec::new();
        loop {
            let ask = search.ask();
            let next = match ask.iter().find(|scope| !registered.contains(&scope.as_str())) {
                None => {
                    granted = ask;
                    search.granted()
                }
                Some(bad) if named => search.refused(&format!("scope {bad} is not allowed.")),
                Some(_) => search.refused("invalid scope"),
            };
            if next == Next::Done {
                granted.sort();
                return (granted, search.tries);
            }
        }
    }

    #[test]
    fn one_scope_too_many_costs_a_few_tries() {
        let without = |gone: &str| WANTED.into_iter().filter(|scope| *scope != gone).collect::<Vec<_>>();
        assert_eq!(found(&WANTED, false), (wanted(), 1));
        assert_eq!(found(&without("scim.users.readUsers"), false).1, 3);
        assert_eq!(found(&without("public.workflows.cancel"), true).1, 2);
        let (granted, tries) = found(&without("public.workflows.cancel"), false);
        assert_eq!(granted, without("public.workflows.cancel"));
        assert!(tries <= 12, "{tries}");
    }

    #[test]
    fn a_scope_is_named_as_a_whole_word_only() {
        assert!(names("scope public.records.readRecords, is bad", "public.records.readRecords"));
        assert!(names("\"public.records.readRecords\".", "public.records.readRecords"));
        assert!(!names("public.records.readRecordsAndMore", "public.records.readRecords"));
        assert!(!names("public.records", "public.records.readRecords"));
    }

    proptest! {
        #[test]
        fn whatever_is_registered_is_found_within_the_bound(
            registered in subsequence(WANTED.to_vec(), 0..=WANTED.len()),
            named: bool,
        ) {
            let (granted, tries) = found(&registered, named);
            prop_assert!(tries <= MAX_TRIES);
            let extra = granted.iter().find(|scope| !registered.contains(&scope.as_str()));
            prop_assert_eq!(extra, None);
            if tries < MAX_TRIES {
                prop_assert_eq!(granted.len(), registered.len());
            }
        }
    }

    #[test]
    fn a_browser_is_sent_through_ever_smaller_sets() {
        let mut tiers = Tiers::new(&Wanted::Needed(wanted()));
        let mut sizes = vec![tiers.ask().len()];
        while tiers.narrow("") {
            sizes.push(tiers.ask().len());
        }
        assert_eq!(sizes, [12, 11, 9, 6, 4]);
        let mut named = Tiers::new(&Wanted::Needed(wanted()));
        assert!(named.narrow("public.workflows.cancel"));
        assert_eq!(named.ask().len(), 11);
        assert!(!named.ask().contains(&"public.workflows.cancel".to_owned()));
    }

    #[test]
    fn what_the_operator_named_is_never_changed() {
        let mut tiers = Tiers::new(&Wanted::Named(wanted()));
        assert!(!tiers.narrow("public.workflows.cancel"));
        assert_eq!(tiers.ask().len(), 12);
    }

    #[test]
    fn what_was_not_asked_for_is_not_withheld() {
        let asked = ["a.b".to_owned(), "a.c".to_owned()];
        let grants = Grants::of(&asked, Some(&["a.b".to_owned()]));
        assert!(grants.allow("a.b") && !grants.allow("a.c") && !grants.allow("a.d"));
        assert!(grants.withhold("a.c") && !grants.withhold("a.d"));
        let all = Grants::of(&asked, None);
        assert!(all.allow("a.c") && !all.allow("a.d"));
        assert!(Grants::of(&[], None).allow("anything"));
    }
}
