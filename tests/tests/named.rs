//! The table of the theorems, in the page of [`tests::theorems`], names the tests that try to break
//! them, and those of the attacks on streams and channels, at the end of the protocol's page, those
//! that answer them. Each must be there.

use tests::named::{has_test, source};

#[test]
fn each_theorem_has_its_tests_and_they_are_there() {
    let page = source("tests/src/theorems.rs");
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows: Vec<&str> = rows.filter(|row| row.starts_with(char::is_numeric)).collect();
    let theorems: Vec<&str> = rows.iter().filter_map(|row| row.split_whitespace().next()).collect();
    assert_eq!(theorems, ["1", "2", "3", "4", "5", "6", "7"]);
    rows.into_iter().for_each(has_its_tests);
}

#[test]
fn each_attack_on_streams_has_its_tests_and_they_are_there() {
    let page = source("settlement/PROTOCOL.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ⚔ ")).collect();
    let attacks = [
        "partial settlement",
        "part-redeemed failure",
        "chain reuse",
        "a unit skimmed",
        "junk secrets",
        "the shape of the forwarded lock",
    ];
    for attack in attacks {
        assert!(rows.iter().any(|row| row.contains(attack)), "nothing answers: {attack}");
    }
    rows.into_iter().for_each(has_its_tests);
}

/// A row without a test says why.
#[test]
fn each_attack_on_channels_has_its_tests_or_says_why_not() {
    let page = source("settlement/PROTOCOL.md");
    let table = page.split_once("\n## Attacks on channels").unwrap().1;
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert_eq!(rows.len(), 36);
    for (number, row) in (1..).zip(rows) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!((cells.len(), cells[0]), (5, number.to_string().as_str()), "{row}");
        match cells[4] {
            "–" => {
                let why =
                    ["does not apply: ", "no test: "].iter().any(|it| cells[3].starts_with(it));
                assert!(why, "neither a test nor why not: {row}");
            }
            tests => has_its_tests(tests),
        }
    }
}

#[test]
fn each_promise_has_its_tests_and_they_are_there() {
    let page = source("tests/RELIABILITY.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| **")).collect();
    assert!(rows.len() >= 8, "{} promises", rows.len());
    rows.into_iter().for_each(has_its_tests);
}

fn has_its_tests(row: &str) {
    let quoted = row.split('`').skip(1).step_by(2);
    let named: Vec<_> = quoted.filter_map(|name| name.split_once(".rs::")).collect();
    assert!(!named.is_empty(), "no test is named: {row}");
    for (file, test) in named {
        assert!(has_test(&format!("{file}.rs"), test), "{file}.rs has no test {test}");
    }
}

#[test]
fn a_test_that_is_not_there_or_not_marked_is_missed() {
    let here = "tests/tests/named.rs";
    assert!(has_test(here, "a_test_that_is_not_there_or_not_marked_is_missed"));
    assert!(!has_test(here, "a_test_that_is_not_there"));
    assert!(!has_test("tests/src/named.rs", "has_test"));
}
