use super::*;

#[test]
fn an_amount_is_a_decimal_string_in_json_and_a_varint_in_postcard() {
    assert_eq!(serde_json::to_string(&Amount(300)).unwrap(), "\"300\"");
    assert_eq!(serde_json::from_str::<Amount>("\"18446744073709551615\"").unwrap().0, u64::MAX);
    assert_eq!(postcard::to_allocvec(&Amount(300)).unwrap(), [0xac, 0x02]);
}

#[test]
fn text_that_is_no_amount_is_refused() {
    for text in ["", "-1", "+1", "1.5", "1e3", " 1", "18446744073709551616", "0x10"] {
        assert!(text.parse::<Amount>().is_err(), "{text:?} was taken");
    }
    assert!(serde_json::from_str::<Amount>("5").is_err(), "a bare JSON number was taken");
}

#[test]
fn bytes_are_raw_in_postcard_and_lower_case_hex_in_json() {
    let key = PublicKey([0xab; 33]);
    assert_eq!(postcard::to_allocvec(&key).unwrap(), vec![0xab; 33]);
    let json = serde_json::to_string(&key).unwrap();
    assert_eq!(json, format!("\"{}\"", "ab".repeat(33)));
    assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
    for text in ["ab".repeat(32), "AB".repeat(33), "ab".repeat(34), "zz".repeat(33)] {
        assert!(text.parse::<PublicKey>().is_err(), "{text} was taken");
    }
}

/// Eight bytes may be any float: what is no number, quiet or signalling, comes back as it was.
#[test]
fn no_float_changes_a_byte() {
    let exponents = [0u64, 1, 0x3ff, 0x7fe, 0x7ff].map(|bits| bits << 52);
    let signed = exponents.into_iter().flat_map(|bits| [bits, bits | 1 << 63]);
    let mantissas = [0, 1, 1 << 50, 1 << 51, (1 << 51) - 1, (1 << 52) - 1];
    for bits in signed.flat_map(|bits| mantissas.map(|mantissa| bits | mantissa)) {
        let mut key = PublicKey([0xab; 33]);
        key.0[8..16].copy_from_slice(&bits.to_le_bytes());
        let bytes = postcard::to_allocvec(&key).unwrap();
        assert_eq!(bytes, key.0, "{bits:x}");
        assert_eq!(postcard::from_bytes::<PublicKey>(&bytes).unwrap().0, key.0, "{bits:x}");
    }
}

#[test]
fn a_secret_is_never_printed_by_debug() {
    assert_eq!(format!("{:?}", Secret([7; 32])), "Secret(…)");
}

#[test]
fn a_role_is_one_byte_and_nothing_above_one() {
    assert_eq!(postcard::to_allocvec(&Role::Hub).unwrap(), [1]);
    assert!(postcard::from_bytes::<Role>(&[2]).is_err());
}
