//! One workflow and its state machine: Review, Sign, Archive, Complete (ironclad-api.md §7).
//!
//! Nothing here knows HTTP or other workflows. Moving from Review to Sign is no API call at the vendor; here it
//! happens by itself when the last triggered group is approved.

use std::sync::Arc;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::approval_state::{Approval, ApprovalRequest};
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

    /// Whether people can act on it in Review.
    pub(crate) fn active_in_review(&self) -> bool {
        self.step == Step::Review && self.status == Status::Active
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
