//! `PROTOCOL.md` against the code: its tables of variants, fields, tags, codes and parameters.

use serde::Serialize;

use super::{fixed, read};
use crate::params::Policy;
use crate::proof::SnapshotRef;
use crate::tx::AccountAction;
use crate::update::Op;
use crate::wire::Message;

/// The rows of the table under that heading, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = read("PROTOCOL.md");
    let under = page.split_once(&format!("\n### {heading}\n")).expect(heading).1;
    let lines = under.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|it| it.trim().into()).collect()).collect()
}

/// What stands in code font.
fn coded(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of the fields at that depth of the value's JSON, in their order.
fn fields<T: Serialize>(value: &T, depth: usize) -> Vec<String> {
    let json = serde_json::to_string(value).expect("it is written");
    let (mut level, mut names) = (0, Vec::new());
    let mut parts = json.split('"').peekable();
    let mut quoted = false;
    while let Some(part) = parts.next() {
        if quoted {
            let named = parts.peek().is_some_and(|next| next.starts_with(':'));
            names.extend((named && level == depth).then(|| part.to_owned()));
        } else {
            level += part.matches(['{', '[']).count();
            level -= part.matches(['}', ']']).count();
        }
        quoted = !quoted;
    }
    names
}

fn assert_rows(heading: &str, expected: Vec<(String, &str, Vec<String>)>) {
    let mut expected = expected;
    expected.dedup();
    let rows: Vec<_> = table(heading)
        .into_iter()
        .map(|row| (row[0].clone(), coded(&row[1]), coded(&row[2])))
        .collect();
    let expected: Vec<_> =
        expected.into_iter().map(|row| (row.0, vec![row.1.to_owned()], row.2)).collect();
    assert_eq!(rows, expected, "PROTOCOL.md is the left, the code the right: {heading}");
}

#[test]
fn variants_and_their_fields_are_as_the_page_says() {
    let number = |bytes: Vec<u8>| bytes[0].to_string();
    let messages = fixed::messages();
    let of = |it: &Message| (number(it.to_frame()), fixed::message_name(it), fields(it, 2));
    assert_rows("Messages", messages.iter().map(of).collect());
    let ops = fixed::ops();
    let of = |it: &Op| (number(crate::encoding::encode(it)), fixed::op_name(it), fields(it, 2));
    assert_rows("Operations", ops.iter().map(|(_, op)| of(op)).collect());
    let rows = fixed::transactions().into_iter().map(|it| {
        let name = fixed::transaction_name(&it);
        (number(crate::encoding::encode(&it)), name, fields(&it, 2))
    });
    assert_rows("Transactions", rows.collect());
    let rows = fixed::actions().into_iter().map(|it| {
        let name = fixed::action_name(&it);
        (number(crate::encoding::encode(&it)), name, fields(&it, 2))
    });
    assert_rows("Account actions", rows.collect());
}

#[test]
fn structs_have_the_fields_and_tags_that_the_page_says() {
    let signed = crate::block::SignedHeader::sign(&fixed::key(3), fixed::header());
    let path = crate::crypto::MerklePath {
        salt: crate::types::Salt([0; 16]),
        index: 0,
        leaf_count: 1,
        siblings: vec![],
    };
    let [_, (_, Op::Add { to, .. }), ..] = &fixed::ops()[..] else { panic!("the second adds") };
    let account = fixed::account(fixed::actions().remove(0));
    let [.., AccountAction::Anchor(anchor), _, _] = &fixed::actions()[..] else {
        panic!("the last but two anchors")
    };
    let entry = anchor.entries[0].clone();
    let expected = [
        ("Genesis", "ledger", fields(&fixed::genesis(), 1)),
        ("OpenTerms", "channel", fields(&fixed::terms(), 1)),
        ("BalanceProof", "proof", fields(&fixed::proof(), 1)),
        ("Lock", "", fields(&fixed::locks()[0], 1)),
        ("MerklePath", "", fields(&path, 1)),
        ("Destination", "", fields(to, 1)),
        ("SnapshotRef", "", fields(&SnapshotRef::NONE, 1)),
        ("SignIn", "hello", fields(&fixed::sign_in(), 1)),
        ("Header", "header", fields(&fixed::header(), 1)),
        ("SignedHeader", "", fields(&signed, 1)),
        ("AccountTx", "tx", fields(&account, 1)),
        ("Withdrawal", "withdraw", fields(&fixed::withdrawal(), 1)),
        ("CooperativeClose", "cooperative-close", fields(&fixed::close(), 1)),
        ("Submission", "submit", fields(&fixed::submission(), 1)),
        ("Mint", "mint", fields(&fixed::mint(), 1)),
        ("AnchorEntry", "", fields(&entry, 1)),
        ("Liabilities", "", fields(&fixed::liabilities(), 1)),
        ("ChannelLeaf", "state", fields(&fixed::leaf(), 1)),
        ("DirectionLeaf", "", fields(&fixed::leaf().directions.wallet, 1)),
        ("Standing", "", fields(&fixed::leaf().directions.wallet.standing, 1)),
    ];
    let rows: Vec<_> = table("Structs")
        .into_iter()
        .map(|row| (coded(&row[0]).concat(), coded(&row[1]).concat(), coded(&row[2])))
        .collect();
    let tags = read("testdata/digests.txt");
    for (row, (name, tag, fields)) in rows.iter().zip(&expected) {
        assert_eq!(row, &((*name).to_owned(), (*tag).to_owned(), fields.clone()));
        assert!(tags.contains(&format!("payhub/v1/{tag}")), "{tag}");
    }
    assert_eq!(rows.len(), expected.len());
}

#[test]
fn the_page_names_every_refusal_of_an_update() {
    let page = read("PROTOCOL.md");
    for code in 101..=127 {
        let row = format!("\n| {code} |");
        assert_eq!(page.matches(&row).count(), 1, "{code}");
    }
}

#[test]
fn the_parameters_are_those_of_the_page() {
    let [standard, development] = [Policy::standard(), Policy::development()]
        .map(|policy| serde_json::to_value(policy).expect("it is written"));
    let rows = table("Parameters");
    assert_eq!(rows.len(), fields(&Policy::standard(), 1).len());
    for row in rows {
        let name = &coded(&row[0])[0];
        let number = |value: &serde_json::Value| value[name].to_string().replace('"', "");
        assert_eq!([&row[1], &row[2]], [&number(&standard), &number(&development)], "{name}");
    }
}
