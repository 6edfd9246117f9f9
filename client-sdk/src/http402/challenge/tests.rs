use super::*;

const SECRET: [u8; 32] = [7; 32];
const EXPIRES_MS: u64 = 1_795_737_599_000;

fn terms() -> Terms {
    Terms {
        amount: Amount(6),
        currency: "EUR".to_owned(),
        details: Details {
            asset: AssetId(0),
            bytes: None,
            credit: 0,
            hub: PublicKey([3; 33]),
            ledger: LedgerId([4; 32]),
            steps: 3,
            unit: Amount(2),
        },
        recipient: PublicKey([2; 33]),
        unit_type: "event".to_owned(),
    }
}

fn challenge() -> Challenge {
    Challenge::issue(&SECRET, "api.example:80", &terms().to_text(), EXPIRES_MS)
}

#[test]
fn a_demand_is_read_as_it_was_written() {
    let good = challenge();
    assert_eq!(good.terms(), Some(terms()));
    assert_eq!(good.expires_ms(), Some(EXPIRES_MS));
    let header = good.to_header();
    assert_eq!(Challenge::from_header(&header).as_ref(), Some(&good));
    // Beside others, in other capitals, with parameters that nobody knows.
    let other = r#"Basic realm="a \"quoted\" one, really", Payment id="x", realm="r", method="card", intent="charge", request="e30", expires="never", "#;
    let ours = header.replace("Payment id=", "PAYMENT hint=soon, ID=");
    assert_eq!(Challenge::from_header(&format!("{other}{ours}")).as_ref(), Some(&good));
    let json = serde_json::to_string(&terms()).unwrap();
    let names = ["amount", "currency", "methodDetails", "asset", "credit", "hub", "recipient"];
    let places: Vec<_> =
        names.iter().map(|name| json.find(&format!("\"{name}\"")).unwrap()).collect();
    assert!(places.is_sorted(), "{json}");
}

#[test]
fn what_is_wrong_stands_beside_the_demand() {
    let header = challenge().to_header();
    assert_eq!(error_in(&header), None);
    let wrong = format!("{header}, error=\"payment-insufficient\"");
    assert_eq!(error_in(&wrong).as_deref(), Some("payment-insufficient"));
    assert_eq!(Challenge::from_header(&wrong), Some(challenge()));
}

#[test]
fn junk_is_no_demand() {
    let header = challenge().to_header();
    let cut = |end: usize| header.get(..end).unwrap_or_default().to_owned();
    for junk in (0..header.len()).map(cut) {
        assert_eq!(Challenge::from_header(&junk), None, "{junk}");
    }
    for junk in ["Payment", "Payment =", "Payment id=\"", "===,,,", "\"", "Payment id=\"\\"] {
        assert_eq!(Challenge::from_header(junk), None, "{junk}");
    }
    assert_eq!(Challenge::from_header(&header.replace("session", "charge")), None);
    assert_eq!(Challenge::from_header(&format!("{}{header}", " ".repeat(HEADER_MAX))), None);
}

#[test]
fn only_the_process_that_made_a_demand_takes_it() {
    let good = challenge();
    let now_ms = EXPIRES_MS - 1;
    let request = terms().to_text();
    assert!(good.holds(&SECRET, "api.example:80", &request, now_ms));
    assert!(!good.holds(&SECRET, "api.example:80", &request, EXPIRES_MS), "expired");
    assert!(!good.holds(&[8; 32], "api.example:80", &request, now_ms), "an earlier process");
    assert!(!good.holds(&SECRET, "other.example", &request, now_ms), "another server");
    assert!(!good.holds(&SECRET, "api.example:80", "e30", now_ms), "another price");
    let changes: [fn(&mut Challenge); 6] = [
        |it| it.id = "x".to_owned(),
        |it| it.realm = "other.example".to_owned(),
        |it| it.method = "card".to_owned(),
        |it| it.intent = "charge".to_owned(),
        |it| it.request = "e30".to_owned(),
        |it| it.expires = "2999-01-01T00:00:00Z".to_owned(),
    ];
    for change in changes {
        let mut other = good.clone();
        change(&mut other);
        assert!(!other.holds(&SECRET, &other.realm, &other.request, now_ms), "{other:?}");
    }
}

#[test]
fn terms_that_contradict_themselves_are_no_price() {
    assert_eq!(
        terms().price().map(|price| (price.amount(), price.per())),
        Ok((Amount(6), Per::Event))
    );
    let changes: [fn(&mut Terms); 5] = [
        |it| it.amount = Amount(5),
        |it| it.unit_type = "bytes".to_owned(),
        |it| it.unit_type = "hour".to_owned(),
        |it| it.details.bytes = Some(10),
        |it| it.details.unit = Amount(u64::MAX),
    ];
    for change in changes {
        let mut other = terms();
        change(&mut other);
        assert!(other.price().is_err(), "{other:?}");
    }
}
