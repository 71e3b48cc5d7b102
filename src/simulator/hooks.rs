//! What only people do at the vendor and tests must be able to do here: signing, filing, moving a workflow on.

use super::errors::ApiError;
use super::signing_state::PacketState;
use super::store::{IdForm, Store};
use super::workflow_state::{Status, Step};

impl Store {
    /// Signs as one signer, or as all in turn; sends the packet first when nobody has.
    ///
    /// # Errors
    /// 400 `INVALID_STATE` outside Sign or out of turn; 404 for an unknown workflow or signer.
    pub(crate) fn sign(&mut self, id: &str, role_name: Option<&str>) -> Result<(), ApiError> {
        let (workflow, now) = self.workflow_mut(id, IdForm::Either)?;
        let id = workflow.id.clone();
        if workflow.packet == PacketState::NotSent {
            workflow.send_packet(now)?;
            self.add_packet(&id, "sentSignaturePacket");
            self.emit("workflow_signature_packet_sent", &id);
        }
        loop {
            let (workflow, now) = self.workflow_mut(&id, IdForm::HexOnly)?;
            let next = workflow.next_signer().ok_or_else(|| ApiError::state("Nobody is left to sign."))?;
            let all = workflow.sign(role_name.unwrap_or(&next), now)?;
            if all {
                self.emit("workflow_signature_packet_fully_signed", &id);
                self.settle(&id);
                return Ok(());
            }
            self.add_packet(&id, "partiallySigned");
            self.emit("workflow_signature_packet_signatures_collected", &id);
            if role_name.is_some() {
                return Ok(());
            }
        }
    }

    /// Files a workflow that is at Archive.
    pub(crate) fn complete(&mut self, id: &str) -> bool {
        let Ok((workflow, now)) = self.workflow_mut(id, IdForm::Either) else { return false };
        if workflow.step != Step::Archive || workflow.status != Status::Active {
            return false;
        }
        workflow.complete(now);
        let id = workflow.id.clone();
        self.settle(&id);
        true
    }

    /// Moves an active workflow one step on, whoever would have had to act.
    ///
    /// # Errors
    /// 400 `INVALID_STATE` when it is not active or complete; 404 for an unknown workflow.
    pub(crate) fn advance(&mut self, id: &str) -> Result<(), ApiError> {
        let (workflow, now) = self.workflow_mut(id, IdForm::Either)?;
        if workflow.status != Status::Active {
            return Err(ApiError::state("Only active workflows can be advanced."));
        }
        let id = workflow.id.clone();
        match workflow.step {
            Step::Review => {
                workflow.groups.iter_mut().flatten().for_each(|approval| approval.approved = true);
                workflow.close_requests("Approved", now, |_| true);
                workflow.leave_review(now);
                self.settle(&id);
                Ok(())
            }
            Step::Sign => self.sign(&id, None),
            Step::Archive | Step::Complete => {
                self.complete(&id);
                Ok(())
            }
        }
    }
}
