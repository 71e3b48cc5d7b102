//! Records who called what, where, and what was decided: one JSON line a call.
//!
//! A [`Record`] is a guard: whatever becomes of the call, its line is written, a dropped future's too. Lines are chained
//! by hash, across processes that share a log and across the files that it is put away into, so a line that is changed,
//! taken out, moved or repeated shows. A write has an intent line on disk before its request is sent.

mod chain;
mod decided;
mod files;
mod filter;
mod head;
mod log;
mod passage;
mod read;
mod record;
mod verify;

pub use self::{
    chain::GENESIS,
    decided::decided,
    filter::{Filter, NoTime, Wanted, age},
    log::{AuditLog, Rotation, Target},
    passage::Passage,
    read::{Line, Met, Reader},
    record::{Decision, Record, Sent, Who},
    verify::{Broken, Expected, Fault, HeadSays, Verified, verify},
};

#[cfg(test)]
mod tests;
