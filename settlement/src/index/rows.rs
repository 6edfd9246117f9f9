//! All rows of an index, read at once.

use super::{Index, IndexError};

/// Rows of an index, one behind the other. They are read before anything is made of them, and the
/// database is closed in between: what both take would lie mixed up in memory, and what the database
/// has had could not be given back.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    /// Of each row, the bytes of its key and of its value.
    lengths: Vec<(u16, u16)>,
}

impl Rows {
    /// Reads the rows whose key starts with `prefix`, and lets the index rest.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn read<I: Index + ?Sized>(index: &mut I, prefix: &[u8]) -> Result<Rows, IndexError> {
        let mut rows = Rows::default();
        index.scan(prefix, &mut |key, value| rows.push(key, value))?;
        index.rest();
        Ok(rows)
    }

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).map_err(|_| "too long".to_owned());
        self.lengths.push((length(key)?, length(value)?));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Each with its key, in ascending order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.lengths.iter().map_while(move |(key, value)| {
            let (key, behind) = rest.split_at_checked(usize::from(*key))?;
            let (value, behind) = behind.split_at_checked(usize::from(*value))?;
            rest = behind;
            Some((key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, MAX_KEY_BYTES, MAX_VALUE_BYTES, MemoryIndex, Shelf};
    use super::*;

    #[test]
    fn they_are_what_a_scan_visits() {
        let mut index = MemoryIndex::open(&Shelf::new());
        let longest = (vec![b'b'; MAX_KEY_BYTES], Some(vec![7; MAX_VALUE_BYTES]));
        let changes: [Change; 4] = [
            (b"c".to_vec(), Some(vec![])),
            (b"ba".to_vec(), Some(b"1".to_vec())),
            (b"a".to_vec(), Some(b"2".to_vec())),
            longest.clone(),
        ];
        index.checkpoint(1, &mut changes.into_iter()).unwrap();
        let all = Rows::read(&mut index, b"").unwrap();
        let keys: Vec<&[u8]> = all.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a".as_slice(), b"ba", &longest.0, b"c"]);
        assert_eq!((all.len(), all.is_empty()), (4, false));
        let some = Rows::read(&mut index, b"b").unwrap();
        let some: Vec<_> = some.iter().collect();
        assert_eq!(
            some,
            [(b"ba".as_slice(), b"1".as_slice()), (&longest.0, &[7; MAX_VALUE_BYTES])]
        );
        assert!(Rows::read(&mut index, b"x").unwrap().is_empty());
    }
}
