//! Text of strangers, on its way to other people's terminals and logs.

use serde_json::Value;
use settlement::terminal::steers;
use tests::process::hub::Hub;
use tests::process::wallet::Wallet;
use tests::process::{BLOCKS_PATIENCE, PATIENCE};

/// Clears a screen, ends a line, forges another, turns the rest round, rings.
const HOSTILE: &str =
    "tea\u{1b}[2J\r\npayment in of 1000000 is settled\u{202e}\u{61c}\u{2028}\u{9b}31m\u{7}\u{7f}";

fn plain(what: &str, text: &str) {
    let steering = text.chars().find(|c| steers(*c) && *c != '\n');
    assert_eq!(steering, None, "{what}: {text:?}");
    let forged = text.lines().any(|line| line.starts_with("payment in of 1000000"));
    assert!(!forged, "{what}: {text:?}");
}

#[test]
fn a_memo_reaches_no_terminal_and_no_log_as_more_than_text() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, &dir.path().join("hub"));
    let wallet = |name: &str| Wallet::init(&programs, &dir.path().join(name), &hub.url);
    let (payer, payee) = (wallet("payer"), wallet("payee"));
    [&payer, &payee].iter().for_each(|wallet| drop(wallet.fund(100_000)));
    let listening = payee.start(&["listen"]);
    listening.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    let paid = |line: &Value| line["event"] == "payment" && line["state"] == "settled";
    payer.ok(&["send", &payee.key.to_string(), "500", "--memo", HOSTILE]);
    listening.wait_for("the payment", 0, BLOCKS_PATIENCE, paid);

    for wallet in [&payer, &payee] {
        let history = wallet.ok(&["history"]);
        assert_eq!(history["payments"][0]["memo"], HOSTILE, "scripts get all of it: {history}");
        let shown = wallet.told_to_people(&["history"]);
        assert!(shown.contains("tea"), "{shown}");
        plain("history", &shown);
        let mut scripted = wallet.start(&["history"]);
        assert!(scripted.wait(BLOCKS_PATIENCE).success(), "{}", scripted.log());
        plain("history --json", &scripted.out());
    }
    plain("listen", &listening.out());
    plain("the payee's log", &listening.log());
    plain("the hub's log", &hub.process.log());
}

#[test]
fn a_request_forges_no_line_of_the_hubs_log() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&tests::programs!(), dir.path());
    let lines = hub.process.log().lines().count();
    for path in ["/v1/%1b%5b2J%0aERROR", "/v1/channels/%0a%0dERROR", "/v1/payments?id=%0aERROR"] {
        let answer = hub.http.get(path);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        plain("an answer", &String::from_utf8_lossy(&answer.body));
    }
    let body = serde_json::json!({ "transaction": HOSTILE }).to_string();
    let problem = hub.http.request("POST", "/v1/channels", body.as_bytes());
    plain("a problem", &String::from_utf8_lossy(&problem.body));
    let log = hub.process.log();
    plain("the hub's log", &log);
    assert!(!log.contains("ERROR"), "{log}");
    // Whatever it logs, each line starts with a time.
    for line in log.lines().skip(lines) {
        assert!(line.starts_with("20"), "{line:?}");
    }
}
