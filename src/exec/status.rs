//! STATUS: could an ADD be served now?

use super::{Engine, refused};
use crate::error::{Code, Error, Result};
use crate::model::{Forwarding, Ipam, Mode, Network};
use crate::plan::{self, LinkKind};
use crate::store::RangeFull;

impl Engine {
    /// Refuses with code 50 if an ADD to the network would fail, as far as that can be known beforehand.
    pub async fn status(&self, network: &Network) -> Result<()> {
        let unavailable = |error: Error| Error { code: Code::Unavailable, ..error };
        let _lock = self.store.lock().map_err(unavailable)?;
        self.refuse_full_ranges(network)?;
        self.refuse_foreign_link(network).await?;
        self.refuse_closed_forwarding(network)
    }

    fn refuse_full_ranges(&self, network: &Network) -> Result<()> {
        let Some(Ipam::BuiltIn { ranges, data_dir, .. }) = &network.ipam else { return Ok(()) };
        for set in ranges {
            let RangeFull { used, total } = self.store.usage(&network.name, data_dir.as_deref(), set)?;
            if used >= total {
                let why = format!("{used} used of {total} total in {set}");
                return Err(
                    Error::new(Code::Unavailable, why).context(format!("no free address in network {}", network.name))
                );
            }
        }
        Ok(())
    }

    async fn refuse_foreign_link(&self, network: &Network) -> Result<()> {
        let Mode::Bridged(bridge) = &network.mode else { return Ok(()) };
        let found = self.host.look_up(std::slice::from_ref(&bridge.name), &[]).await;
        let (views, _) = found.map_err(|error| refused(&error, "look at the host"))?;
        match views.into_iter().flatten().next() {
            Some(view) if view.link.kind != LinkKind::Bridge => {
                let why = format!("{:?} already exists but is not a bridge", bridge.name.as_str());
                Err(Error::new(Code::Unavailable, why).context(format!("network {} cannot be served", network.name)))
            }
            _ => Ok(()),
        }
    }

    fn refuse_closed_forwarding(&self, network: &Network) -> Result<()> {
        if network.forwarding != Forwarding::Require {
            return Ok(());
        }
        let families = network.ipam.as_ref().map(Ipam::families).unwrap_or_default();
        for (_, key) in plan::FORWARDING.into_iter().filter(|(family, _)| families.contains(family)) {
            let value = self.host.sysctls.read(key).unwrap_or_default();
            if value != "1" {
                let why = format!("forwarding is \"require\", and net/{key} is {value:?}");
                return Err(
                    Error::new(Code::Unavailable, why).context(format!("network {} cannot be served", network.name))
                );
            }
        }
        Ok(())
    }
}
