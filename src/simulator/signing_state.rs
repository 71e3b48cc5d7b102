//! The Sign step: who signs, in what order, and whether the packet is out (ironclad-api.md §9.2).
//!
//! Routing is always sequential: only the signer whose turn it is has been sent the packet.

use time::OffsetDateTime;

use super::errors::ApiError;
use super::workflow_state::{Status, Step, Workflow};

/// How far one signer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignerStatus {
    /// Not asked yet.
    Pending,
    /// Asked.
    Sent,
    /// Done.
    Signed,
    /// Refused.
    Declined,
}

impl SignerStatus {
    /// The vendor's word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Signed => "signed",
            Self::Declined => "declined",
        }
    }
}

/// How far the whole packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketState {
    /// Nobody was asked.
    NotSent,
    /// Out for signature.
    Sent,
    /// Signed by all.
    Complete,
}

impl PacketState {
    /// The vendor's word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Sent => "sent",
            Self::Complete => "complete",
        }
    }
}

/// One signer.
#[derive(Debug, Clone)]
pub(crate) struct SignerState {
    /// `signer…`.
    pub(crate) role_id: String,
    /// The role's name, which paths use.
    pub(crate) role_name: String,
    /// Full name.
    pub(crate) name: String,
    /// E-mail address.
    pub(crate) email: String,
    /// The user behind an internal signer.
    pub(crate) user_id: Option<String>,
    /// How far.
    pub(crate) status: SignerStatus,
}

impl Workflow {
    fn signable(&self) -> bool {
        self.step == Step::Sign && self.status == Status::Active
    }

    /// Sends the packet to the first signer.
    ///
    /// # Errors
    /// 400 `INVALID_STATE` outside Sign or when it is out already.
    pub(crate) fn send_packet(&mut self, now: OffsetDateTime) -> Result<(), ApiError> {
        if !self.signable() {
            return Err(ApiError::state("Workflow must be on Sign Step."));
        }
        if self.packet != PacketState::NotSent {
            return Err(ApiError::state("The signature packet has already been sent."));
        }
        self.packet = PacketState::Sent;
        self.ask_next();
        self.updated = now;
        Ok(())
    }

    fn ask_next(&mut self) {
        let next = self.signers.iter_mut().find(|signer| signer.status != SignerStatus::Signed);
        if let Some(signer) = next.filter(|signer| signer.status == SignerStatus::Pending) {
            signer.status = SignerStatus::Sent;
        }
    }

    /// Signs as one signer; says whether everybody has signed now.
    ///
    /// # Errors
    /// 400 `INVALID_STATE` when the packet is not out or it is not this signer's turn; 404 for an unknown role.
    pub(crate) fn sign(&mut self, role_name: &str, now: OffsetDateTime) -> Result<bool, ApiError> {
        if !self.signable() || self.packet != PacketState::Sent {
            return Err(ApiError::state("The signature packet is not out."));
        }
        let found = self.signers.iter_mut().find(|signer| signer.role_name == role_name);
        let Some(signer) = found else { return Err(ApiError::not_found("role", "no such signer")) };
        if signer.status != SignerStatus::Sent {
            return Err(ApiError::state("It is not this signer's turn."));
        }
        signer.status = SignerStatus::Signed;
        self.ask_next();
        self.updated = now;
        let all = self.signers.iter().all(|signer| signer.status == SignerStatus::Signed);
        if all {
            self.packet = PacketState::Complete;
            self.step = Step::Archive;
        }
        Ok(all)
    }

    /// Refuses to sign as one signer; the packet stays out.
    ///
    /// # Errors
    /// As for signing.
    pub(crate) fn decline(&mut self, role_name: &str, now: OffsetDateTime) -> Result<(), ApiError> {
        if !self.signable() || self.packet != PacketState::Sent {
            return Err(ApiError::state("The signature packet is not out."));
        }
        let found = self.signers.iter_mut().find(|signer| signer.role_name == role_name);
        let Some(signer) = found else { return Err(ApiError::not_found("role", "no such signer")) };
        signer.status = SignerStatus::Declined;
        self.updated = now;
        Ok(())
    }

    /// The role whose turn it is, if any.
    pub(crate) fn next_signer(&self) -> Option<String> {
        let waiting = self.signers.iter().find(|signer| signer.status == SignerStatus::Sent);
        waiting.map(|signer| signer.role_name.clone())
    }
}
