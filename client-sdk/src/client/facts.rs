//! What the rest of the SDK needs to know of a wallet and the hub and ledger that it is with.

use settlement::crypto::SigningKey;
use settlement::reject::Code;
use settlement::types::{AssetId, LedgerId, PublicKey};
use tokio::sync::OwnedMutexGuard;

use super::{ClientError, WalletHandle};

/// While it lives, nobody else sells what the wallet's streams bring.
pub(crate) type OnlyTill = OwnedMutexGuard<()>;

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

    /// Makes who asks the only one that counts what the wallet's streams are spent on: two that know
    /// nothing of each other would sell each step twice. The store has one owner, so it is enough to
    /// hold this within a client.
    pub(crate) fn only_till(&self) -> Result<OnlyTill, ClientError> {
        let member = self.shared.members.get(self.index).ok_or_else(ClientError::stopped)?;
        member.till.try_lock_owned().map_err(|_| {
            let detail = "this wallet has a till already, or an answer of one under way: use a \
                          clone of it";
            ClientError::new(Code::BadArgument, detail)
        })
    }
}
