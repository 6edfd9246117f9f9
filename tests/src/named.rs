//! Tests that are named in a table: whether they are there.

use std::path::Path;

/// A file of the project, by its path from the top.
///
/// # Panics
/// When there is none.
pub fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Whether the file has a test of this name, asynchronous or drawn at random too.
pub fn has_test(file: &str, test: &str) -> bool {
    let source = source(file);
    let mut marked = false;
    source.lines().map(str::trim).any(|line| {
        let plain = line.strip_prefix("async ").unwrap_or(line);
        let found = marked && plain.starts_with(&format!("fn {test}("));
        // Other attributes and comments may stand between.
        let marks = line == "#[test]" || line.starts_with("#[tokio::test");
        marked = marks || marked && (line.starts_with('#') || line.starts_with("//"));
        found
    })
}
