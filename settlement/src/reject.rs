//! Every refusal has a number, a name, a sentence and a retry answer. Numbers are append-only and
//! frozen in `testdata/codes.txt`.
//!
//! An update is answered with the first refusal in the order of the checks (see
//! [`crate::channel::Channel::check_update`]): the rules for the whole update by number, then the
//! operations one after the other, then the totals.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($number:literal $name:ident $text:literal $retry:literal $title:literal;)*) => {
        /// Why something was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
            /// A number that a newer peer uses and this version does not know.
            Unknown(u16),
        }

        impl Code {
            /// Every code that this version knows, by number.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// Its number, which never changes.
            pub fn number(self) -> u16 {
                match self { $(Code::$name => $number,)* Code::Unknown(number) => number }
            }

            /// The code with this number.
            pub fn from_number(number: u16) -> Code {
                match number { $($number => Code::$name,)* other => Code::Unknown(other) }
            }

            /// Its name in snake case, as scripts compare it.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => $text,)* Code::Unknown(_) => "unknown" }
            }

            /// What is wrong, in a sentence.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* Code::Unknown(_) => "a refusal that this version does not know" }
            }

            /// Whether the same thing may be taken later: two views of the ledger a few blocks
            /// apart, or a passing lack. A payment that is tried again needs a new secret unless
            /// its lock is gone.
            pub fn retryable(self) -> bool {
                match self { $(Code::$name => $retry,)* Code::Unknown(_) => false }
            }
        }
    };
}

codes! {
    // 1xx: an update of a channel, in the order in which its rules are checked.
    101 UnknownChannel "unknown_channel" true "no such channel is known here, or not yet";
    102 WrongChannel "wrong_channel" false "the proof names another channel than the update";
    103 WrongDirection "wrong_direction" false "the proof is not of the sender's own direction";
    104 BadSignature "bad_signature" false "the signature does not fit the key and the proof";
    105 ChannelNotOpen "channel_not_open" false "the channel is closing or closed, so nothing more is agreed on it";
    106 ChannelSuspended "channel_suspended" false "the channel is suspended after a secret that did not fit";
    107 SeqNotRising "seq_not_rising" false "the sequence number is not above that of the last accepted update";
    108 BaseMismatch "base_mismatch" false "the update does not build on the last accepted one";
    109 TotalsFell "totals_fell" false "the transferred total or an acknowledgment is below an earlier one";
    110 UnknownAcknowledgment "unknown_acknowledgment" false "the acknowledged proof is none that was sent and not refused";
    111 TooManyUnacknowledged "too_many_unacknowledged" true "1,024 proofs are unacknowledged: only updates without operations are taken until some are";
    112 TooManyOps "too_many_ops" false "the update has more operations than are allowed";
    113 ZeroAmount "zero_amount" false "an amount of zero moves nothing";
    114 AmountOverflow "amount_overflow" false "the amounts add up to more than 2^64 - 1";
    115 LockIdUsed "lock_id_used" false "the lock's id is not above every id used before";
    116 StepsOutOfRange "steps_out_of_range" false "a lock has 1 to 65,536 steps";
    117 LockTooSmall "lock_too_small" false "the lock is worth less than the smallest lock allowed";
    118 TooManyLocks "too_many_locks" false "the direction would have more than 256 pending locks";
    119 TooManySteps "too_many_steps" false "the pending locks of the direction would have more than 2^20 steps";
    120 StaleView "stale_view" true "the view of the ledger is not fresh, so no lock is taken";
    121 ExpiryPassed "expiry_passed" true "the lock has expired, or is about to";
    122 ExpiryTooFar "expiry_too_far" true "the lock lives longer than is allowed";
    123 UnknownLock "unknown_lock" false "there is no pending lock with this id";
    124 SecretMismatch "secret_mismatch" false "the secret does not fit the lock";
    125 DropNotAllowed "drop_not_allowed" true "the lock has neither expired nor been given up by its receiver";
    126 TotalsMismatch "totals_mismatch" false "the totals or the locks root are not what the operations make";
    127 Overdraft "overdraft" false "the update spends more than the sender's side of the channel holds";
    128 HashBudget "hash_budget" true "the wallet has asked for more hashing than one wallet gets within a second; say it again a second later";

    // 2xx: why a payment failed.
    201 UnknownPayee "unknown_payee" false "the payee has no channel with this hub in this asset";
    202 PayeeOffline "payee_offline" true "the payee is not connected";
    203 NoInboundLiquidity "no_inbound_liquidity" true "the hub has too little on its side of the payee's channel";
    204 FeeTooLow "fee_too_low" true "the lock leaves less than the hub's fee; ask for its policy again";
    205 ExpiryTooSoon "expiry_too_soon" true "the lock expires too soon to be passed on safely";
    206 DuplicatePayment "duplicate_payment" false "a lock with this anchor is pending from this payer to this payee already";
    207 ForeignHub "foreign_hub" false "the payee's hub is another one";
    208 Draining "draining" true "the hub is shutting down and takes no new payments";
    209 LedgerStalled "ledger_stalled" true "the hub's view of the ledger is not fresh, so it can't protect a lock";
    210 RefusedByPayee "refused_by_payee" false "the payee's side refused the lock";
    211 Expired "expired" false "the lock expired before the payment was completed";
    212 NoCapacity "no_capacity" true "no more locks can be pending on the way to the payee";
    213 UnknownInvoice "unknown_invoice" false "the payee knows no such invoice";
    214 WrongAmount "wrong_amount" false "the lock is not worth what the invoice or the payload says";
    215 InvoiceExpired "invoice_expired" false "the invoice has expired";
    216 InvoiceUsed "invoice_used" false "the invoice has been used already";
    217 BadPayload "bad_payload" false "the payload that came with the lock can't be read or is not authentic";
    218 PaymentToSelf "payment_to_self" false "payer and payee are the same wallet";
    219 RefusedByHub "refused_by_hub" false "the hub refused the update that carried the lock";
    220 ChannelClosing "channel_closing" false "a channel on the way is closing";
    221 Unanswered "unanswered" true "the payment was not answered in time";
    222 StreamClosed "stream_closed" false "the payee takes no more steps of this stream";

    // 3xx: a connection.
    301 UnsupportedVersion "unsupported_version" false "no common protocol version";
    302 WrongLedger "wrong_ledger" false "the other side is on another ledger";
    303 BadSignIn "bad_sign_in" false "the signature over the challenge does not fit the key";
    304 FrameTooLarge "frame_too_large" false "the frame is larger than 256 KiB";
    305 MalformedFrame "malformed_frame" false "the frame can't be decoded";
    306 TooManyKeys "too_many_keys" false "more keys than one connection may sign in";
    307 Replaced "replaced" false "the same wallet signed in on a newer connection";
    308 ShuttingDown "shutting_down" true "the hub is shutting down; connect again in a moment";
    309 NotSignedIn "not_signed_in" false "the channel's wallet is not signed in on this connection";
    310 SlowConsumer "slow_consumer" true "the connection does not read what is sent to it";
    311 TooManyConnections "too_many_connections" true "the hub has as many connections as it takes";
    312 StateLost "state_lost" false "one side shows a state that the other has lost; the channel is suspended until it is restored";
    313 SignInTimeout "sign_in_timeout" true "the connection did not sign in in time";
    314 Recovering "recovering" true "the channel's state was lost and taken back; nothing is agreed on it until enough blocks have passed";
    315 OpenTimeout "open_timeout" true "no wallet on the connection opened a channel in time";

    // 4xx: a transaction.
    401 MalformedTransaction "malformed_transaction" false "the transaction can't be decoded";
    402 TxBadSignature "tx_bad_signature" false "a signature of the transaction does not fit";
    403 TxWrongLedger "tx_wrong_ledger" false "the transaction is meant for another ledger";
    404 BadNonce "bad_nonce" true "the nonce is not the account's next one";
    405 InsufficientFunds "insufficient_funds" true "the account holds less than the transaction spends";
    406 UnknownAsset "unknown_asset" false "the ledger has no such asset";
    407 NoSuchChannel "no_such_channel" false "the ledger has no such channel";
    408 NotOpen "not_open" false "the channel is not open any more";
    409 BadTerms "bad_terms" false "the opening terms are not allowed: two keys, a nonce that is the transaction's, a challenge period within bounds";
    410 NotRising "not_rising" false "the withdrawn total does not rise";
    411 TooLate "too_late" false "the height until which the transaction is valid has passed";
    412 EscrowMismatch "escrow_mismatch" false "the amounts are not what the channel holds";
    413 ProofNotTheOthers "proof_not_the_others" false "the proof is not of the other side's direction of this channel";
    414 LocksMismatch "locks_mismatch" false "the locks are not those under the proof's root and total";
    415 ClaimsOnOpenChannel "claims_on_open_channel" false "claims count only while a channel is closing";
    416 ChangesNothing "changes_nothing" false "the transaction would change nothing";
    417 NotDue "not_due" true "the channel can't be paid out yet";
    418 TxZeroAmount "tx_zero_amount" false "an amount of zero moves nothing";
    419 NoFaucet "no_faucet" false "there is a faucet on development ledgers alone";
    420 TxTooLarge "tx_too_large" false "the transaction is larger than a block takes";
    421 TxOverflow "tx_overflow" false "a sum goes over 2^64 - 1";
    422 QueueFull "queue_full" true "too many transactions are waiting for a block";
    423 ChannelExists "channel_exists" false "a channel with these terms was opened before";
    424 WindowOver "window_over" false "the challenge window is over";
    425 StaleEpoch "stale_epoch" false "another process holds the hub's lease by now";
    426 BadAnchor "bad_anchor" false "the anchor is as of a height that is not there yet, or an entry is not of a channel of its signer";
    427 EnvelopeNeeded "envelope_needed" false "this ledger takes fees, so a transaction about a channel has to come in the envelope of an account that pays";

    // 5xx: a request to a hub or ledger.
    501 MalformedRequest "malformed_request" false "the request can't be read";
    502 PolicyRefused "policy_refused" false "the hub's policy does not take such a channel";
    503 LedgerUnavailable "ledger_unavailable" true "the ledger can't be reached";
    504 NotAgreed "not_agreed" true "the hub does not sign this: it is not what the channel's newest state says, or something is still pending";
    505 Unauthorized "unauthorized" false "a signature or token is missing or does not fit";
    506 NotFound "not_found" false "there is nothing here by that name";
    507 HubUnavailable "hub_unavailable" true "the hub can't be reached";
    508 Overloaded "overloaded" true "too much is waiting; try again in a moment";
    509 Internal "internal" true "something failed inside; the log of the process says what";

    // 6xx: a wallet's own refusals.
    601 BadInvoice "bad_invoice" false "the invoice can't be read: mistyped, cut short or not signed by its payee";
    602 InvoiceForAnotherLedger "invoice_for_another_ledger" false "the invoice is for another ledger";
    603 AlreadyPaid "already_paid" false "this invoice has been paid, or is being paid, from this wallet";
    604 InsufficientBalance "insufficient_balance" true "the channel holds less than the payment and its fee";
    605 NoChannel "no_channel" false "there is no open channel for this";
    606 HomeExists "home_exists" false "there is a wallet in this home already";
    607 NoHome "no_home" false "there is no wallet in this home; run `wallet init`";
    608 HomeLocked "home_locked" true "another process owns this home";
    609 StoreDamaged "store_damaged" false "the wallet's store is damaged";
    610 BadArgument "bad_argument" false "an argument can't be used";
    611 NothingToDo "nothing_to_do" false "there is nothing to do";
    612 NotProved "not_proved" false "what is shown of the channel does not prove it";
    613 NotCounted "not_counted" false "what the hub shows does not prove that it counts the channel in what it owes";
    614 CountedTooLow "counted_too_low" false "the hub has signed that it owes less in the channel than it does";
    615 UnknownStream "unknown_stream" false "this wallet has no such stream, or it has ended";
    616 StreamSpent "stream_spent" true "the stream's locks have fewer steps left than that";
    617 StepMismatch "step_mismatch" false "the step does not fit the stream's chain";

    // 7xx: a watchtower.
    701 BadAnswer "bad_answer" false "this is no answer that a wallet makes for a watchtower";
    702 OlderAnswer "older_answer" false "the watchtower holds a newer answer for this channel";
    703 TowerFull "tower_full" true "the watchtower guards as many channels as it takes";
    704 TowerUnavailable "tower_unavailable" true "the watchtower can't be reached";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.title(), self.number())
    }
}

impl std::error::Error for Code {}

/// A code is its number, in every encoding.
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Code, D::Error> {
        u16::deserialize(d).map(Code::from_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_names_are_unique_and_each_comes_back() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{pair:?}");
        }
        let names: std::collections::HashSet<_> = Code::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), *code);
        }
        assert_eq!(Code::from_number(9999).number(), 9999);
    }
}
