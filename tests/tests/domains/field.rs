//! Messages with one field changed, whatever fields they have.

use serde::Serialize;
use serde_json::Value;

/// A message that differs in one field.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Which, from the outside in.
    pub(crate) field: String,
    /// The whole message, as JSON.
    pub(crate) message: Value,
}

/// The message with each of its fields changed in turn, down to the last number, text and byte
/// string, and with each of its lists cut short.
pub(crate) fn changes<T: Serialize>(message: &T) -> Vec<Change> {
    let whole = serde_json::to_value(message).expect("a message can be written as JSON");
    let mut found = Vec::new();
    visit(&whole, &mut Vec::new(), &mut |way, changed| {
        let mut message = whole.clone();
        let place = way.iter().fold(&mut message, |at, step| match step.parse::<usize>() {
            Ok(index) if at.is_array() => &mut at[index],
            _ => &mut at[step.as_str()],
        });
        *place = changed;
        found.push(Change { field: way.join("."), message });
    });
    found
}

fn visit(value: &Value, way: &mut Vec<String>, found: &mut dyn FnMut(&[String], Value)) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                way.push(name.clone());
                visit(inner, way, found);
                way.pop();
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                way.push(at.to_string());
                visit(inner, way, found);
                way.pop();
            }
            // A list of things; a pair has two unlike ones.
            if let Some((_, shorter)) = items.split_last().filter(|(last, _)| last.is_object()) {
                found(way, Value::Array(shorter.to_vec()));
            }
        }
        leaf => found(way, another(leaf)),
    }
}

/// Another value that the same field could have.
fn another(leaf: &Value) -> Value {
    match leaf {
        Value::Number(number) => (number.as_u64().expect("a natural number") ^ 1).into(),
        Value::Bool(flag) => (!flag).into(),
        Value::String(text) if text == "wallet" => "hub".into(),
        Value::String(text) if text == "hub" => "wallet".into(),
        Value::String(text) => {
            let (last, rest) = text
                .chars()
                .next_back()
                .map_or(('0', ""), |last| (last, &text[..text.len() - last.len_utf8()]));
            format!("{rest}{}", if last == '0' { '1' } else { '0' }).into()
        }
        other => panic!("a good message leaves no field out: {other}"),
    }
}

#[test]
fn every_leaf_is_changed_once_and_alone() {
    let value = serde_json::json!({
        "a": 4, "b": { "c": "1f", "role": "hub" }, "list": [{ "d": true }, { "d": false }],
        "pair": [1, "00"],
    });
    let changes = changes(&value);
    let fields: Vec<&str> = changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["a", "b.c", "b.role", "list.0.d", "list.1.d", "list", "pair.0", "pair.1"]);
    assert!(changes.iter().all(|change| change.message != value));
    assert_eq!(changes[1].message["b"], serde_json::json!({ "c": "10", "role": "hub" }));
    assert_eq!(changes[5].message["list"], serde_json::json!([{ "d": true }]));
}
