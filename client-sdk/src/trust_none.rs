//! Built without the feature `tls`: `https://` is refused, and there is nobody to trust.

/// Nothing to choose.
#[derive(Clone, Debug, Default)]
pub struct Trust;
