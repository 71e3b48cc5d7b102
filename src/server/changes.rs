//! Tells when the list of tools changes: templates came or went, or the token turned out to lack a scope.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    catalog::Tool,
    ironclad::auth::Grants,
    launch_tools::{LaunchTools, Launchers},
};

/// Every change of the list since this was made.
pub(super) struct Changes {
    templates: watch::Receiver<Arc<LaunchTools>>,
    grants: watch::Receiver<Arc<Grants>>,
    /// The tools that policy publishes.
    published: Vec<Arc<Tool>>,
    hidden: Vec<String>,
}

impl Changes {
    pub(super) fn new(
        launchers: &Launchers,
        mut grants: watch::Receiver<Arc<Grants>>,
        published: Vec<Arc<Tool>>,
    ) -> Self {
        let hidden = hidden(&published, &grants.borrow_and_update());
        Self { templates: launchers.changes(), grants, published, hidden }
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
                    let hidden = hidden(&self.published, &self.grants.borrow_and_update());
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
fn hidden(published: &[Arc<Tool>], grants: &Grants) -> Vec<String> {
    published.iter().filter(|tool| !tool.is_reachable(grants)).map(|tool| tool.name.clone()).collect()
}
