//! How often each kind of fault and each kind of lie was met.

use std::fmt;

/// One kind of fault or lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// A process was killed between two operations of its disk, or at one.
    Killed,
    /// The power went, between two operations of a disk, or at one.
    PowerCut,
    /// A process ended while it was starting.
    EndedInRecovery,
    /// Writes that were not synced were gone after a power cut.
    LostWrites,
    /// Some of what was not synced was there after a power cut, and some was not.
    TornWrites,
    /// A write took a part only.
    ShortWrite,
    /// A write was refused: no room.
    FullDisk,
    /// A write failed.
    WriteError,
    /// A sync failed.
    SyncError,
    /// A bit of a cold segment changed; found and named at the next start.
    BitRot,
    /// Cold segments went to the archive.
    Archived,
    /// An old copy took the place of a disk.
    OldCopy,
    /// A message was lost on its way.
    Lost,
    /// A message came twice.
    Repeated,
    /// A message overtook another.
    Reordered,
    /// A connection held back what was sent.
    Delayed,
    /// The hub was cut off from both wallets.
    Partition,
    /// Somebody was cut off from the ledger.
    Deaf,
    /// A transaction came late to the ledger.
    LateTransaction,
    /// A connection broke.
    Disconnected,
    /// A wallet was out of the hub's reach for long.
    Night,
    /// A liar kept from the ledger what would have helped it, or the other.
    KeptFromLedger,
    /// An update was taken, and said to be refused.
    FalseReject,
    /// An update was refused, and said to be taken.
    FalseAck,
    /// A lock was given up whose secret is known.
    FalseFail,
    /// A secret was kept until the last blocks that its lock stands.
    LateReveal,
    /// Something else was shown in the place of a secret.
    FalseSecret,
    /// Two proofs with one seq.
    ConflictingProofs,
    /// An update that pays what is not there, says what was not got, or takes a lock back.
    FalseUpdate,
    /// A signature that does not fit.
    BadSignature,
    /// Something else was said to be held than is.
    FalseSync,
    /// A direction was shown without its locks.
    FalseSnapshot,
    /// Something was not said.
    Withheld,
    /// Nothing was said for some blocks, message by message.
    Stalled,
    /// Something was said again.
    Replayed,
    /// A liar closed with a proof of its choice.
    OldProof,
}

const KINDS: usize = Kind::ALL.len();

impl Kind {
    /// All of them, in the order of the table.
    pub const ALL: [Kind; 36] = [
        Kind::Killed,
        Kind::PowerCut,
        Kind::EndedInRecovery,
        Kind::LostWrites,
        Kind::TornWrites,
        Kind::ShortWrite,
        Kind::FullDisk,
        Kind::WriteError,
        Kind::SyncError,
        Kind::BitRot,
        Kind::Archived,
        Kind::OldCopy,
        Kind::Lost,
        Kind::Repeated,
        Kind::Reordered,
        Kind::Delayed,
        Kind::Partition,
        Kind::Deaf,
        Kind::LateTransaction,
        Kind::Disconnected,
        Kind::Night,
        Kind::KeptFromLedger,
        Kind::FalseReject,
        Kind::FalseAck,
        Kind::FalseFail,
        Kind::LateReveal,
        Kind::FalseSecret,
        Kind::ConflictingProofs,
        Kind::FalseUpdate,
        Kind::BadSignature,
        Kind::FalseSync,
        Kind::FalseSnapshot,
        Kind::Withheld,
        Kind::Stalled,
        Kind::Replayed,
        Kind::OldProof,
    ];

    fn told(self) -> &'static str {
        match self {
            Kind::Killed => "process killed",
            Kind::PowerCut => "power cut",
            Kind::EndedInRecovery => "ended while starting",
            Kind::LostWrites => "unsynced writes lost",
            Kind::TornWrites => "unsynced writes torn",
            Kind::ShortWrite => "short write",
            Kind::FullDisk => "disk full",
            Kind::WriteError => "write failed",
            Kind::SyncError => "sync failed",
            Kind::BitRot => "bit rot in a cold segment, found",
            Kind::Archived => "cold segments archived",
            Kind::OldCopy => "old copy restored",
            Kind::Lost => "message lost",
            Kind::Repeated => "message repeated",
            Kind::Reordered => "message overtook others",
            Kind::Delayed => "connection stood still",
            Kind::Partition => "hub cut off from all wallets",
            Kind::Deaf => "cut off from the ledger",
            Kind::LateTransaction => "transaction late at the ledger",
            Kind::Disconnected => "connection broken",
            Kind::Night => "wallet out of reach for long",
            Kind::KeptFromLedger => "kept from the ledger",
            Kind::FalseReject => "taken, said to be refused",
            Kind::FalseAck => "refused, said to be taken",
            Kind::FalseFail => "given up with its secret known",
            Kind::LateReveal => "secret kept until the last blocks",
            Kind::FalseSecret => "something else shown as a secret",
            Kind::ConflictingProofs => "two proofs with one seq",
            Kind::FalseUpdate => "update against the rules",
            Kind::BadSignature => "signature that does not fit",
            Kind::FalseSync => "false word of what is held",
            Kind::FalseSnapshot => "false snapshot",
            Kind::Withheld => "message withheld",
            Kind::Stalled => "message not said in a stall",
            Kind::Replayed => "old message replayed",
            Kind::OldProof => "closed with any old proof",
        }
    }
}

/// A number for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts([u64; KINDS]);

impl Default for Counts {
    fn default() -> Self {
        Counts([0; KINDS])
    }
}

impl Counts {
    /// Once more.
    pub fn count(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    /// How often.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Both together.
    pub fn add(&mut self, other: &Counts) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Kind::ALL.iter().try_for_each(|kind| writeln!(f, "{:>12}  {}", self.of(*kind), kind.told()))
    }
}
