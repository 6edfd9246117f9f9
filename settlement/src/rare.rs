//! Parts that most things of a kind never use: a channel at rest has sent nothing, holds no lock and
//! waits for nothing. There are a hundred thousand of them, so such a part takes a pointer's room until
//! it is written to for the first time, and then stays where it is.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a part is that was never used.
pub trait AtRest: Default + PartialEq + 'static {
    /// The same as its default, in one place for all.
    const AT_REST: &'static Self;
}

/// Reads as a `T` and is written to as one; see the module. Compared, encoded and shown like the `T`.
#[derive(Clone)]
pub struct Rare<T>(Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Rare<T> {
        Rare(None)
    }
}

impl<T: AtRest> From<T> for Rare<T> {
    fn from(value: T) -> Rare<T> {
        Rare((value != *T::AT_REST).then(|| Box::new(value)))
    }
}

impl<T: AtRest> Rare<T> {
    /// Puts a value in its place; one that is at rest takes no room that is not taken already.
    pub fn set(&mut self, value: T) {
        match &mut self.0 {
            Some(place) => **place = value,
            None => *self = value.into(),
        }
    }
}

impl<T: AtRest> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::AT_REST)
    }
}

impl<T: AtRest> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: AtRest> PartialEq for Rare<T> {
    fn eq(&self, other: &Rare<T>) -> bool {
        **self == **other
    }
}

impl<T: AtRest + Eq> Eq for Rare<T> {}

impl<T: AtRest + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: AtRest + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(s)
    }
}

impl<'de, T: AtRest + Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        T::deserialize(d).map(Rare::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{decode, encode};

    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Part {
        many: Vec<u64>,
    }

    impl AtRest for Part {
        const AT_REST: &'static Part = &Part { many: Vec::new() };
    }

    #[test]
    fn it_is_what_it_holds_and_takes_room_once_it_is_written_to() {
        let mut part = Rare::<Part>::default();
        assert_eq!((size_of_val(&part), &*part), (size_of::<usize>(), &Part::default()));
        assert!(part.0.is_none(), "reading takes no room");
        part.many.push(7);
        let plain = Part { many: vec![7] };
        assert_eq!((&*part, format!("{part:?}")), (&plain, format!("{plain:?}")));
        assert_eq!(encode(&part), encode(&plain));
        assert_eq!(decode(&encode(&plain)), Ok(part.clone()));
        part.many.clear();
        assert_eq!(part, Rare::default(), "whether it has taken room or not");
        let again: Rare<Part> = decode(&encode(&part)).unwrap();
        assert!(again.0.is_none() && part.0.is_some());
        part.set(plain.clone());
        assert_eq!(*part, plain);
        let mut other = Rare::<Part>::default();
        other.set(Part::default());
        assert!(other.0.is_none());
    }
}
