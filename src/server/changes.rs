//! Tells when the list of tools changes: templates came or went, or the token turned out to lack a scope.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    catalog::Catalog,
    ironclad::auth::Grants,
    launch_tools::{LaunchTools, Launchers},
};

/// Every change of the list since this was made.
pub(super) struct Changes {
    templates: watch::Receiver<Arc<LaunchTools>>,
    grants: watch::Receiver<Arc<Grants>>,
    catalog: Arc<Catalog>,
    hidden: Vec<String>,
}

impl Changes {
    pub(super) fn new(launchers: &Launchers, mut grants: watch::Receiver<Arc<Grants>>, catalog: Arc<Catalog>) -> Self {
        let hidden = hidden(&catalog, &grants.borrow_and_update());
        Self { templates: launchers.changes(), grants, catalog, hidden }
    }

    /// Waits for the next change; `false` where there will be none any more.
    pub(super) async fn next(&mut self) -> bool {
        loop {
            tokio::select! {
                changed = self.templates.changed() => return changed.is_ok(),
                changed = self.grants.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    let hidden = hidden(&self.catalog, &self.grants.borrow_and_update());
                    // That all is well is no news.
                    if hidden != self.hidden {
                        self.hidden = hidden;
                        return true;
                    }
                }
            }
        }
    }

    /// Takes the templates as they are for the beginning.
    pub(super) fn forget_templates(&mut self) {
        self.templates.mark_unchanged();
    }
}

/// The tools that the token's scopes are not enough for.
fn hidden(catalog: &Catalog, grants: &Grants) -> Vec<String> {
    catalog.all().filter(|tool| !tool.is_reachable(grants)).map(|tool| tool.name.clone()).collect()
}
