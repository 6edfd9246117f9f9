//! Wallets, channels and payments in words, tables and JSON.

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::{Value, json};
use settlement::api::{AssetBalance, ChannelPhase};
use settlement::reject::Code;
use settlement::terminal;
use settlement::types::{Amount, Role};

use super::lines::{Line, error_json};
use super::watchtower::Covered;
use crate::client::{ClientError, Counts, Protections, Status, StatusChannel};
use crate::tower::Told;
use crate::wallet::stream::{StreamPhase, StreamView};
use crate::wallet::{Counted, Event, Payment, PaymentState, Protection, Way};

/// A channel's phase in a word.
pub(super) fn phase(phase: ChannelPhase) -> &'static str {
    match phase {
        ChannelPhase::Open => "open",
        ChannelPhase::Closing => "closing",
        ChannelPhase::Closed => "closed",
    }
}

/// A payment's state in a word.
fn state(state: PaymentState) -> &'static str {
    match state {
        PaymentState::Pending => "pending",
        PaymentState::Settled => "settled",
        PaymentState::Failed(_) => "failed",
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// What is known of the channels from elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    /// What a watchtower is known to cover.
    pub(super) covered: &'a Covered,
    /// What the ledger proves to be protected.
    pub(super) protections: &'a Protections,
    /// What the hub has signed that it owes.
    pub(super) counts: &'a Counts,
}

/// The channels as `--json` prints them, with what is known from elsewhere.
pub(super) fn channels(status: &Status, shown: &Shown<'_>) -> Vec<Value> {
    let channel = |channel: &StatusChannel| {
        let mut value = json!(channel);
        if let Value::Object(fields) = &mut value {
            let id = &channel.id;
            fields.insert("covered".to_owned(), json!(shown.covered.of(id)));
            fields.insert("protection".to_owned(), known(shown.protections.get(id)));
            fields.insert("counted".to_owned(), known(shown.counts.get(id)));
        }
        value
    };
    status.channels.iter().map(channel).collect()
}

/// What was proved, or why it was not; nothing if nobody answered.
fn known<T: Serialize>(known: Option<&Result<T, ClientError>>) -> Value {
    let known = known.map(|known| match known {
        Ok(value) => json!(value),
        Err(error) => json!({ "error": error_json(error) }),
    });
    known.into()
}

/// How far the channels that are not paid out are guarded and counted, a line each.
pub(super) fn guarded(status: &Status, shown: &Shown<'_>) -> String {
    let mut text = String::new();
    let open = status.channels.iter().filter(|channel| channel.state != ChannelPhase::Closed);
    for StatusChannel { id, .. } in open {
        let protection = match shown.protections.get(id) {
            Some(Ok(Protection { protected, unprotected, .. })) => {
                format!("protected up to {protected} even if nobody watches, {unprotected} not yet")
            }
            Some(Err(error)) => {
                let error = terminal::line(&error.to_string());
                format!("not known to be protected: {error}")
            }
            None => "not known to be protected: the ledger does not answer".to_owned(),
        };
        text.push_str(&format!("\n{id} {protection}"));
        if let Some(up_to) = shown.covered.of(id) {
            let (seq, to) = (up_to.seq, &up_to.to);
            text.push_str(&format!("\n{id} covered up to seq {seq} of the hub's by {to}"));
        }
        match shown.counts.get(id) {
            Some(Ok(Counted { owed, as_of, .. })) => text.push_str(&format!(
                "\n{id} counted in the hub's liabilities: {owed} as of block {as_of}"
            )),
            Some(Err(error)) => text.push_str(&format!(
                "\n{id} WARNING: not counted right in the hub's liabilities: {}",
                terminal::line(&error.to_string())
            )),
            None => {}
        }
    }
    text
}

pub(super) fn status(status: &Status, balances: &[AssetBalance]) -> String {
    let mut text = format!("wallet {}\nheight {}\n", status.public_key, status.height);
    if balances.is_empty() {
        text.push_str("account empty\n");
    }
    for AssetBalance { asset, amount } in balances {
        text.push_str(&format!("account {amount} of asset {asset}\n"));
    }
    if status.channels.is_empty() {
        text.push_str("no channels");
        return text;
    }
    let mut rows = table(["channel", "state", "wallet", "hub", "locked", "seq"]);
    for channel in &status.channels {
        rows.add_row([
            channel.id.to_string(),
            phase(channel.state).to_owned(),
            channel.wallet_amount.to_string(),
            channel.hub_amount.to_string(),
            channel.locked.to_string(),
            channel.seq.to_string(),
        ]);
    }
    text.push_str(&rows.to_string());
    text
}

pub(super) fn payment(payment: &Payment) -> String {
    let Payment { anchor, amount, fee, .. } = payment;
    let what = match payment.way {
        Way::Out => format!("payment of {amount} (fee {fee})"),
        Way::In => format!("payment in of {amount}"),
    };
    match payment.state {
        PaymentState::Pending => format!("{what} is pending: {anchor}"),
        PaymentState::Settled => format!("{what} is settled: {anchor}"),
        PaymentState::Failed(code) => format!("{what} failed: {code}"),
    }
}

pub(super) fn payment_json(payment: &Payment) -> Value {
    // The own secret of an invoice that nobody has paid is worth money to whoever sees it first.
    let secret = payment.secret.filter(|_| payment.state == PaymentState::Settled);
    json!({
        "payment": payment.anchor,
        "way": payment.way,
        "state": state(payment.state),
        "asset": payment.asset,
        "amount": payment.amount,
        "fee": payment.fee,
        "secret": secret,
        "peer": payment.peer,
        "memo": payment.memo,
    })
}

/// Payments and streams in one table.
pub(super) fn history(payments: &[Payment], streams: &[StreamView]) -> String {
    if payments.is_empty() && streams.is_empty() {
        return "no payments".to_owned();
    }
    let paid = payments.iter().map(|payment| {
        let Payment { amount, fee, way, .. } = payment;
        let (name, state) = (payment.anchor.to_string(), state(payment.state));
        (payment.created_ms, history_row(name, *way, state, (*amount, *fee), &payment.memo))
    });
    let streamed = streams.iter().map(|view| {
        let (name, money) = (format!("stream {}", view.key.stream), (view.amount(), view.fees));
        let state = stream_state(view.phase);
        (view.created_ms, history_row(name, view.key.way, state, money, &view.memo))
    });
    let mut rows: Vec<(u64, [String; 6])> = paid.chain(streamed).collect();
    rows.sort_by_key(|(created_ms, _)| *created_ms);
    let mut shown = table(["payment", "way", "state", "amount", "fee", "memo"]);
    for (_, row) in rows {
        shown.add_row(row);
    }
    shown.to_string()
}

fn history_row(
    name: String,
    way: Way,
    state: &str,
    (amount, fee): (Amount, Amount),
    memo: &str,
) -> [String; 6] {
    let way = if way == Way::Out { "out" } else { "in" };
    let (amount, fee) = (amount.to_string(), fee.to_string());
    [name, way.to_owned(), state.to_owned(), amount, fee, terminal::line(memo)]
}

/// How a stream stands, in a word.
fn stream_state(phase: StreamPhase) -> &'static str {
    match phase {
        StreamPhase::Opening => "opening",
        StreamPhase::Open => "open",
        StreamPhase::Closing => "closing",
        StreamPhase::Ended(_) => "ended",
    }
}

/// A stream as every command prints it: amounts in base units, the rest in steps.
pub(super) fn stream_json(view: &StreamView) -> Value {
    let state = stream_state(view.phase);
    let code = match view.phase {
        StreamPhase::Ended(code) => code,
        _ => None,
    };
    json!({
        "stream": view.key.stream.to_string(),
        "way": view.key.way,
        "peer": view.key.peer,
        "asset": view.asset,
        "unit": view.unit,
        "memo": view.memo,
        "state": state,
        "ended_by": code.map(Code::number),
        "amount": view.amount(),
        "fees": view.fees,
        "paid": view.paid,
        "taken": view.taken,
        "returned": view.returned,
        "redeemed": view.redeemed,
        "settled": view.settled,
        "left": view.left,
    })
}

/// The same for people.
pub(super) fn stream(view: &StreamView) -> String {
    let StreamView { paid, redeemed, settled, left, .. } = view;
    let (id, amount, peer) = (view.key.stream, view.amount(), view.key.peer);
    let to = if view.key.way == Way::Out { "to" } else { "from" };
    let state = match view.phase {
        StreamPhase::Opening => "opening".to_owned(),
        StreamPhase::Open => "open".to_owned(),
        StreamPhase::Closing => "closing".to_owned(),
        StreamPhase::Ended(None) => "ended: all of it is paid".to_owned(),
        StreamPhase::Ended(Some(code)) => format!("ended: {code}"),
    };
    format!(
        "stream {id} {to} {peer}: {paid} steps, {amount} in all; {redeemed} redeemed, {settled} \
         settled, {left} left; {state}"
    )
}

/// An event as `listen` prints it.
pub(super) fn event(event: &Event) -> (Value, String) {
    match event {
        Event::Invoiced { invoice, payment } => {
            let json = json!({ "event": "invoice", "invoice": invoice, "payment": payment.anchor });
            (json, format!("invoice {invoice}"))
        }
        Event::Payment(changed) => {
            let mut json = payment_json(changed);
            if let Value::Object(fields) = &mut json {
                fields.insert("event".to_owned(), "payment".into());
            }
            (json, payment(changed))
        }
        Event::Stream(view) => {
            let mut json = stream_json(view);
            if let Value::Object(fields) = &mut json {
                fields.insert("event".to_owned(), "stream".into());
            }
            (json, stream(view))
        }
        // The answer to who asked for them, and nobody else's business.
        Event::Steps(tokens) => {
            let steps = tokens.len();
            (json!({ "event": "steps", "locks": steps }), "steps were handed out".to_owned())
        }
        Event::Refused { code, detail, payment } => {
            let (number, title) = (code.number(), code.title());
            let json = json!({
                "event": "refused", "code": number, "title": title, "detail": detail,
                "payment": payment,
            });
            (json, format!("refused: {} [{code}]", terminal::line(detail)))
        }
        Event::Channel(id) => {
            (json!({ "event": "channel", "channel": id }), format!("channel {id} has changed"))
        }
        Event::PaidByHub { channel, amount, memo } => {
            let memo = String::from_utf8_lossy(memo);
            let json = json!({
                "event": "paid_by_hub", "channel": channel, "amount": amount, "memo": memo,
            });
            let memo = terminal::line(&memo);
            (json, format!("the hub paid {amount} on channel {channel}: {memo}"))
        }
        Event::PaidToHub { channel, amount } => {
            let json = json!({ "event": "paid_to_hub", "channel": channel, "amount": amount });
            (json, format!("the hub took {amount} on channel {channel}"))
        }
    }
}

/// What a watchtower tells, as `watchtower run` prints it.
pub(super) fn told(told: &Told) -> Line {
    let human = match told {
        Told::Running { listening, ledger, channels } => {
            let at = listening.as_deref().unwrap_or("its inbox alone");
            format!("guarding {channels} channels of ledger {ledger}; taking answers at {at}")
        }
        Told::Guarding { channel, seq } => format!("guarding {channel} up to seq {seq}"),
        Told::Refused { file, channel, code, detail } => {
            let file = file.as_ref().map(|file| format!("{}: ", file.display()));
            let channel = channel.map(|channel| format!("{channel}: "));
            let of = file.or(channel).unwrap_or_default();
            format!("refused: {of}{} [{code}]", terminal::line(detail))
        }
        Told::Closing { channel, by, proofs_until } => {
            let by = if *by == Role::Hub { "hub" } else { "wallet" };
            format!("{channel} is being closed by its {by}; proofs count until {proofs_until}")
        }
        Told::Brought { channel, seq, tx } => {
            format!("brought the answer for {channel} up to seq {seq}: {tx}")
        }
        Told::Answered { channel, seq } => format!("answered {channel} up to seq {seq}"),
        Told::Settled { channel, wallet: Some(wallet), hub: Some(hub) } => {
            format!("settled {channel}: {wallet} to the wallet, {hub} to the hub")
        }
        Told::Settled { channel, .. } => format!("settled {channel}"),
        Told::Trouble { channel, code, detail } => {
            let of = channel.map(|channel| format!("{channel}: ")).unwrap_or_default();
            format!("tried again: {of}{detail} [{code}]")
        }
    };
    Line::new(json!(told), human)
}

#[cfg(test)]
mod tests {
    use settlement::types::ChannelId;

    use super::*;

    /// What a stranger can write: an end of the line, and a line that looks like another event.
    const FORGED: &str = "tea\npayment in of 1000 is settled: \u{202e}\u{1b}[2J";

    #[test]
    fn a_strangers_text_makes_no_line_of_its_own() {
        let (channel, amount) = (ChannelId([1; 32]), Amount(5));
        let memo = FORGED.as_bytes().to_vec();
        let paid = Event::PaidByHub { channel, amount, memo };
        let (code, detail) = (Code::RefusedByHub, FORGED.to_owned());
        let refused = Event::Refused { code, detail: detail.clone(), payment: None };
        let told_of = Told::Refused { file: None, channel: None, code, detail };
        for text in [event(&paid).1, event(&refused).1, told(&told_of).human] {
            assert!(text.contains("tea") && !text.contains('\n'), "{text:?}");
        }
        assert_eq!(event(&paid).0["memo"], FORGED, "scripts get all of it");
    }
}
