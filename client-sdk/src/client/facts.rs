//! What the rest of the SDK needs to know of a wallet and the hub and ledger that it is with.

use settlement::crypto::SigningKey;
use settlement::types::{AssetId, LedgerId, PublicKey};

use super::WalletHandle;

impl WalletHandle {
    /// What the wallet signs with.
    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// Which ledger settles its channels.
    pub(crate) fn ledger_id(&self) -> LedgerId {
        self.shared.info.ledger
    }

    /// The hub that it has them with.
    pub(crate) fn hub_key(&self) -> PublicKey {
        self.shared.info.hub
    }

    /// An asset's code, if the ledger has the asset.
    pub(crate) fn asset_code(&self, asset: AssetId) -> Option<&str> {
        let assets = &self.shared.genesis.assets;
        assets.get(asset.0 as usize).map(|asset| asset.code.as_str())
    }
}
