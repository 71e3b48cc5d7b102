//! One workflow and its state machine: Review, Sign, Archive, Complete (ironclad-api.md §7).
//!
//! Nothing here knows HTTP or other workflows. Moving from Review to Sign is no API call at the vendor; here it
//! happens by itself when the last triggered group is approved.

use std::sync::Arc;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::errors::ApiError;
use super::signing_state::{PacketState, SignerState, SignerStatus};
use super::templates::Template;
use super::workflow_document::Document;

/// Where a workflow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Being approved.
    Review,
    /// Being signed.
    Sign,
    /// Signed, not yet filed.
    Archive,
    /// Filed.
    Complete,
}

impl Step {
    /// The vendor's capitalised word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Review => "Review",
            Self::Sign => "Sign",
            Self::Archive => "Archive",
            Self::Complete => "Complete",
        }
    }
}

/// Whether a workflow is moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Moving.
    Active,
    /// Held in Review.
    Paused,
    /// Done.
    Completed,
    /// Given up; for good.
    Cancelled,
}

impl Status {
    /// The vendor's word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

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

/// A contract in progress.
#[derive(Debug, Clone)]
pub(crate) struct Workflow {
    /// 24 hex digits.
    pub(crate) id: String,
    /// The number of its Ironclad ID, kept by its record.
    pub(crate) number: u32,
    /// `<template> with <counterparty>`.
    pub(crate) title: String,
    /// The design it was launched from, as it was then.
    pub(crate) template: Arc<Template>,
    /// Where it stands.
    pub(crate) step: Step,
    /// Whether it moves.
    pub(crate) status: Status,
    /// Answers, without documents.
    pub(crate) attributes: Map<String, Value>,
    /// Every document it holds.
    pub(crate) documents: Vec<Document>,
    /// Who launched it.
    pub(crate) creator_id: String,
    /// When.
    pub(crate) created: OffsetDateTime,
    /// When it last changed.
    pub(crate) updated: OffsetDateTime,
    /// Triggered approver groups in order.
    pub(crate) groups: Vec<Vec<Approval>>,
    /// Approval history, oldest first.
    pub(crate) requests: Vec<ApprovalRequest>,
    /// Who signs, in order.
    pub(crate) signers: Vec<SignerState>,
    /// Whether the signature packet is out.
    pub(crate) packet: PacketState,
    /// Its record, from Archive on.
    pub(crate) record_ids: Vec<String>,
    /// Whether it came back from Sign.
    pub(crate) rolled_back: bool,
}

impl Workflow {
    /// `IC-<n>`.
    pub(crate) fn ironclad_id(&self) -> String {
        format!("IC-{}", self.number)
    }

    /// The first seven and last three characters of the id, as file names carry them (ironclad-api.md §6.3).
    pub(crate) fn suffix(&self) -> String {
        let head: String = self.id.chars().take(7).collect();
        let tail: String = self.id.chars().skip(21).collect();
        format!("{head}{tail}")
    }

    /// `approved`, `active` (may approve now) or `pending` (waits for earlier groups).
    pub(crate) fn group_status(&self, index: usize) -> &'static str {
        let first_open = self.groups.iter().position(|group| group.iter().any(|approval| !approval.approved));
        match first_open {
            Some(open) if index == open => "active",
            Some(open) if index > open => "pending",
            Some(_) | None => "approved",
        }
    }

    fn active_in_review(&self) -> bool {
        self.step == Step::Review && self.status == Status::Active
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

    /// Holds the workflow.
    ///
    /// # Errors
    /// 400 `INVALID_STATE` unless active in Review.
    pub(crate) fn pause(&mut self, now: OffsetDateTime) -> Result<(), ApiError> {
        if !self.active_in_review() {
            return Err(ApiError::state("Only active workflows in the review step can be paused."));
        }
        self.status = Status::Paused;
        self.close_requests("Workflow Paused", now, |_| true);
        self.updated = now;
        Ok(())
    }

    /// Lets the workflow move again.
    ///
    /// # Errors
    /// 400 `INVALID_STATE` unless paused in Review.
    pub(crate) fn resume(&mut self, now: OffsetDateTime) -> Result<(), ApiError> {
        if self.step != Step::Review || self.status != Status::Paused {
            return Err(ApiError::state("Only paused workflows in the review step can be resumed."));
        }
        self.status = Status::Active;
        self.open_requests(now);
        self.updated = now;
        Ok(())
    }

    /// Gives the workflow up; it keeps its step.
    ///
    /// # Errors
    /// 400 `INVALID_STATE` when completed or already cancelled.
    pub(crate) fn cancel(&mut self, now: OffsetDateTime) -> Result<(), ApiError> {
        match self.status {
            Status::Completed => return Err(ApiError::state("Completed workflows cannot be cancelled.")),
            Status::Cancelled => return Err(ApiError::state("This workflow has already been cancelled.")),
            Status::Active | Status::Paused => {}
        }
        self.status = Status::Cancelled;
        self.close_requests("Workflow Canceled", now, |_| true);
        self.updated = now;
        Ok(())
    }

    /// Whether `revert` would work.
    pub(crate) fn is_revertible(&self) -> bool {
        self.step == Step::Sign && self.status == Status::Active
    }

    /// Returns from Sign to Review; approvals and signatures have to be given again. Says whether a packet was out.
    ///
    /// # Errors
    /// 400 `INVALID_STATE` unless active in Sign.
    pub(crate) fn revert(&mut self, now: OffsetDateTime) -> Result<bool, ApiError> {
        if !self.is_revertible() {
            let message = "workflow cannot be reverted to review as it is not in the sign stage";
            return Err(ApiError::state(message).at("workflowId"));
        }
        let was_out = self.packet != PacketState::NotSent;
        self.step = Step::Review;
        self.rolled_back = true;
        self.packet = PacketState::NotSent;
        self.signers.iter_mut().for_each(|signer| signer.status = SignerStatus::Pending);
        self.groups.iter_mut().flatten().for_each(|approval| approval.approved = false);
        self.documents.retain(|document| !document.is_packet());
        self.open_requests(now);
        self.updated = now;
        Ok(was_out)
    }

    /// Files the workflow.
    pub(crate) fn complete(&mut self, now: OffsetDateTime) {
        self.step = Step::Complete;
        self.status = Status::Completed;
        self.updated = now;
    }
}
