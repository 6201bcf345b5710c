//! IP forwarding on the host.

use super::builder::Builder;
use super::step::{Setting, Side, Sysctl};
use crate::error::{Code, Error, Result};
use crate::model::{Family, Forwarding};

const IPV4: &str = "ipv4/ip_forward";
const IPV6: &str = "ipv6/conf/all/forwarding";

/// The sysctls that turn a family's forwarding on, by their path below `/proc/sys/net`.
pub const FORWARDING: [(Family, &str); 2] = [(Family::V4, IPV4), (Family::V6, IPV6)];

/// Turns forwarding on for the families in use, or refuses if that was asked for.
pub(super) fn plan(builder: &mut Builder<'_>, wanted: Forwarding, in_use: impl Fn(Family) -> bool) -> Result<()> {
    for (family, key) in FORWARDING.into_iter().filter(|(family, _)| in_use(*family)) {
        let value = builder.facts.host.sysctls.get(key).map(String::as_str);
        if value == Some("1") || wanted == Forwarding::Leave {
            continue;
        }
        if wanted == Forwarding::Require {
            let is = value.unwrap_or("absent");
            return Err(Error::new(Code::InvalidConfig, format!("forwarding is \"require\", and net/{key} is {is}"))
                .hint(format!("sysctl -w net/{key}=1, or \"forwarding\": \"enable\"")));
        }
        if family == Family::V6 {
            keep_advertised_routes(builder);
        }
        // Written only if it is off: any write to ip_forward resets every interface's own value
        // (inet_forward_change(), net/ipv4/devinet.c).
        let sysctl = Sysctl { side: Side::Host, key: key.into(), value: "1".into(), precaution: false };
        builder.set(Setting::Sysctl(sysctl));
    }
    Ok(())
}

/// What a new link of the host starts from.
pub const DEFAULT_ACCEPT_RA: &str = "ipv6/conf/default/accept_ra";

/// Whether a new link of the host takes no router advertisements anyway, so that `accept_ra=0` is a precaution
/// only: the host forwards IPv6, and then it takes none unless `accept_ra` is 2 (`ipv6_accept_ra()` in
/// `include/net/ipv6.h`).
pub(super) fn forwards_ipv6(builder: &Builder<'_>) -> bool {
    let value = |key: &str| builder.facts.host.sysctls.get(key).map(String::as_str);
    value(IPV6) == Some("1") && matches!(value(DEFAULT_ACCEPT_RA), Some("0" | "1"))
}

/// A host that forwards does not take router advertisements unless `accept_ra` is 2, and turning
/// forwarding on drops the default routes learnt from them at once (`rt6_purge_dflt_routers()`).
fn keep_advertised_routes(builder: &mut Builder<'_>) {
    for uplink in builder.facts.advertised_uplinks.clone() {
        builder.set(Setting::Sysctl(Sysctl::ipv6(Side::Host, &uplink, "accept_ra", "2")));
    }
}
