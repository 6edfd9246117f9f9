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

/// Whether the file has a test of this name that is run, asynchronous or drawn at random too.
pub fn has_test(file: &str, test: &str) -> bool {
    is_in(&source(file), test)
}

fn is_in(source: &str, test: &str) -> bool {
    let (mut marked, mut ignored) = (false, false);
    source.lines().map(str::trim).any(|line| {
        let plain = line.strip_prefix("async ").unwrap_or(line);
        let found = marked && !ignored && plain.starts_with(&format!("fn {test}("));
        // Other attributes and comments may stand between.
        let between = line.starts_with('#') || line.starts_with("//");
        let marks = line == "#[test]" || line.starts_with("#[tokio::test");
        marked = marks || marked && between;
        ignored = between && (ignored || line.starts_with("#[ignore"));
        found
    })
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn a_test_that_is_ignored_or_not_marked_is_none() {
        let cases = [
            ("#[test]\nfn it() {", true),
            ("#[test]\n// Why.\n#[cfg(unix)]\nfn it() {", true),
            ("#[tokio::test]\nasync fn it() {", true),
            ("fn it() {", false),
            ("#[test]\n#[ignore]\nfn it() {", false),
            ("#[ignore = \"slow\"]\n#[test]\nfn it() {", false),
            ("#[test]\n#[ignore]\nfn other() {}\n#[test]\nfn it() {", true),
        ];
        for (source, is_there) in cases {
            assert_eq!(is_in(source, "it"), is_there, "{source}");
        }
    }
}
