//! Approvals of one workflow: groups in order, who may approve now, and the history.
//!
//! A group is only asked when those before it have approved; giving an approval twice is refused like one that was
//! never asked for (ironclad-api.md §8.9).

use time::OffsetDateTime;

use super::errors::ApiError;
use super::workflow_state::{Step, Workflow};

/// One approver's part.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    /// `approver…`.
    pub(crate) role_id: String,
    /// The role's name.
    pub(crate) display_name: String,
    /// Who holds the role.
    pub(crate) user_id: String,
    /// Whether it was given.
    pub(crate) approved: bool,
}

/// One line of the approval history.
#[derive(Debug, Clone)]
pub(crate) struct ApprovalRequest {
    /// When the approver was asked.
    pub(crate) start: OffsetDateTime,
    /// When the question ended; none while pending.
    pub(crate) end: Option<OffsetDateTime>,
    /// `Pending`, `Approved`, `Workflow Paused`, `Workflow Canceled`, …
    pub(crate) status: &'static str,
    /// The approver.
    pub(crate) user_id: String,
    /// Role id.
    pub(crate) role: String,
    /// Role name.
    pub(crate) role_name: String,
}

impl Workflow {
    /// `approved`, `active` (may approve now) or `pending` (waits for earlier groups).
    pub(crate) fn group_status(&self, index: usize) -> &'static str {
        let first_open = self.groups.iter().position(|group| group.iter().any(|approval| !approval.approved));
        match first_open {
            Some(open) if index == open => "active",
            Some(open) if index > open => "pending",
            Some(_) | None => "approved",
        }
    }

    /// Gives or withdraws an approval; says whether anything changed.
    ///
    /// # Errors
    /// The vendor's four refusals of §8.9.
    pub(crate) fn approve(
        &mut self,
        role_id: &str,
        user_id: &str,
        approved: bool,
        now: OffsetDateTime,
    ) -> Result<bool, ApiError> {
        let place = self.groups.iter().position(|group| group.iter().any(|approval| approval.role_id == role_id));
        let unasked = "This approval either was not requested or this user was not assigned to this approval";
        let Some(index) = place else {
            let known = self.template.backstage.approval_groups.iter().flatten().any(|one| one.role_id == role_id);
            let message = if known { unasked } else { "This role does not exist in this workflow" };
            return Err(ApiError::invalid("approval", message));
        };
        let group_status = self.group_status(index);
        let in_review = self.active_in_review();
        let found = self.groups.iter_mut().flatten().find(|approval| approval.role_id == role_id);
        let Some(approval) = found.filter(|approval| approval.user_id == user_id && in_review) else {
            return Err(ApiError::invalid("approval", unasked));
        };
        if approval.approved == approved {
            return if approved { Err(ApiError::invalid("approval", unasked)) } else { Ok(false) };
        }
        if approved && group_status != "active" {
            let message = "This approval cannot be approved out of order";
            return Err(ApiError::state(message).at("approval"));
        }
        approval.approved = approved;
        if approved {
            self.close_requests("Approved", now, |request| request.role == role_id);
        }
        self.updated = now;
        self.open_requests(now);
        Ok(true)
    }

    /// Moves on to Sign, or to Archive without signers, when every group is approved; says where to.
    pub(crate) fn advance_when_approved(&mut self, now: OffsetDateTime) -> Option<Step> {
        let done = !self.groups.is_empty() && self.groups.iter().flatten().all(|approval| approval.approved);
        if !done || !self.active_in_review() {
            return None;
        }
        self.leave_review(now);
        Some(self.step)
    }

    /// Leaves Review whatever the approvals say.
    pub(crate) fn leave_review(&mut self, now: OffsetDateTime) {
        self.step = if self.signers.is_empty() { Step::Archive } else { Step::Sign };
        self.updated = now;
    }

    /// Asks the approvers of the active group who were not asked yet.
    pub(crate) fn open_requests(&mut self, now: OffsetDateTime) {
        if !self.active_in_review() {
            return;
        }
        let active = (0..self.groups.len()).find(|index| self.group_status(*index) == "active");
        let Some(group) = active.and_then(|index| self.groups.get(index)) else { return };
        for approval in group.iter().filter(|approval| !approval.approved) {
            let open = |request: &ApprovalRequest| request.end.is_none() && request.role == approval.role_id;
            if self.requests.iter().any(open) {
                continue;
            }
            self.requests.push(ApprovalRequest {
                start: now,
                end: None,
                status: "Pending",
                user_id: approval.user_id.clone(),
                role: approval.role_id.clone(),
                role_name: approval.display_name.clone(),
            });
        }
    }

    /// Ends open requests with a status.
    pub(crate) fn close_requests(
        &mut self,
        status: &'static str,
        now: OffsetDateTime,
        which: impl Fn(&ApprovalRequest) -> bool,
    ) {
        for request in self.requests.iter_mut().filter(|request| request.end.is_none() && which(request)) {
            request.end = Some(now);
            request.status = status;
        }
    }
}
