//! Writes what `cargo fuzz` begins with: good bytes for the decoders, each in a file of its own, into
//! `fuzz/corpus/decoders`, or into the directory that is named.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let named = std::env::args_os().nth(1).map(PathBuf::from);
    let dir = named.unwrap_or_else(|| PathBuf::from("fuzz/corpus/decoders"));
    std::fs::create_dir_all(&dir)?;
    for (number, bytes) in tests::fuzz::seeds::all().iter().enumerate() {
        std::fs::write(dir.join(format!("seed-{number:03}")), bytes)?;
    }
    Ok(())
}
