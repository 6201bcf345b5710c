//! The container's side.

use crate::exec::Container;
use crate::kernel::{KernelError, LinkView};
use crate::model::{Attachment, Family, IfName, Mode};
use crate::plan::{self, Facts, Route};

pub(super) fn observe_container(
    facts: &mut Facts,
    container: &Container,
    attachment: &Attachment,
) -> Result<(), KernelError> {
    let endpoint = &container.endpoint;
    let ifname = attachment.ifname();
    let views = endpoint.links(None)?;
    let is_alone = views.iter().all(|view| view.name == IfName::loopback());
    if matches!(attachment.network.mode, Mode::Bridged(_)) || !attachment.network.sysctls.is_empty() {
        let _ = container.sysctls(); // whoever writes them says what is the matter
    }
    facts.container_ipv6 = has_ipv6(container, attachment, &views);
    for view in views {
        let (name, index) = (view.name.clone(), view.index);
        if name == *ifname {
            facts.container.addresses.extend(endpoint.addresses(&name, index)?);
        }
        facts.container.links.insert(name, view.link);
    }
    if !is_alone {
        for family in Family::BOTH {
            for route in endpoint.fib(family, Route::MAIN, None)? {
                let link = route.link.and_then(|index| endpoint.name(index));
                facts.container.routes.extend(link.map(|link| route.to_route(&link)));
            }
        }
    }
    for key in plan::asked_sysctls(attachment) {
        facts.container.sysctls.extend(container.read_sysctl(&key).ok().map(|value| (key, value)));
    }
    Ok(())
}

/// Whether the container's link has IPv6, or will have it.
fn has_ipv6(container: &Container, attachment: &Attachment, links: &[LinkView]) -> bool {
    let of = |name: &IfName| links.iter().find(|view| view.name == *name).map(|view| view.ipv6);
    match (of(attachment.ifname()), of(&IfName::loopback()).flatten()) {
        (Some(own), _) if attachment.needs_ipv6() => own == Some(true),
        // A new link starts from `default`, which no message tells of. Who turns IPv6 off does it for `all`, and then the
        // loopback link shows it; where only `default` says so, the first address is refused (see `explain`).
        (None, Some(false)) if attachment.needs_ipv6() => {
            container.read_sysctl("ipv6/conf/default/disable_ipv6").is_ok_and(|value| value == "0")
        }
        // Where nobody needs it, a link with IPv6 turned off takes the same settings.
        (_, loopback) => loopback.is_some(),
    }
}
