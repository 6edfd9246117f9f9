//! The bytes that two implementations must agree on, frozen in `testdata/`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p settlement golden` writes the files anew: right while a format is
//! being designed, and for what is appended to it; wrong for anything that was released.

mod codes;
mod decoding;
mod digests;
mod fixed;
mod page;

mod signatures;
mod wire;

use std::path::PathBuf;

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_default()
}

/// Compares a golden file with what the code says now, line by line.
fn assert_frozen(file: &str, lines: &[String]) {
    let file = format!("testdata/{file}");
    let now = lines.join("\n") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(&file), now).expect("the golden file can be written");
        return;
    }
    let frozen = read(&file);
    for (number, pair) in (1..).zip(frozen.lines().zip(now.lines())) {
        assert_eq!(
            pair.0, pair.1,
            "{file}:{number} says the left, the code the right. This format is frozen: other \
             implementations and stored data rely on it. Append a variant or a version instead"
        );
    }
    let counts = (frozen.lines().count(), now.lines().count());
    assert_eq!(
        counts.0, counts.1,
        "{file} has the left number of lines, the code makes the right. This format is frozen. \
         For what was appended write it anew with UPDATE_GOLDEN=1"
    );
}
