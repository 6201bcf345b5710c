//! What guests run themselves: the scripts of `NixOS` and Void, and the lines that Red Hat's initscripts and wicked hand
//! on to `ip`. Over what is there they change nothing, and they bring back what is gone.

use crate::common::state::assert_unchanged;
use crate::common::{Lab, Netns};
use crate::support::{Kind, Root, add, in_chroot, schemes, springline};

fn each_scheme(kind: &str, check: impl Fn(&Netns, &Root)) {
    for (name, conf) in schemes() {
        let lab = Lab::new();
        let container = lab.container("c");
        add(&lab, &conf, &container, "eth0");
        let root = Kind::named(kind).make();
        let path = root.path().display().to_string();
        let (ok, out, _) = springline(&lab, &["distconfig", "--rootfs", &path, "--id", "c"]);
        assert!(ok && out.contains("written"), "{name}: {out}");
        check(container.netns(), &root);
    }
}

#[test]
fn nixos() {
    each_scheme("nixos", |netns, root| {
        let before = netns.state();
        in_chroot(netns, root, &[], "/ifcfg.add");
        assert_unchanged(&before, &netns.state());
        in_chroot(netns, root, &[], "/ifcfg.del");
        assert_eq!(netns.addresses("eth0"), Vec::<String>::new());
        in_chroot(netns, root, &[], "/ifcfg.add");
        assert_unchanged(&before, &netns.state());
    });
}

/// runit's first stage reads the script into its own shell, which goes on behind it.
#[test]
fn void() {
    each_scheme("void", |netns, root| {
        let before = netns.state();
        let stage = "for f in /etc/runit/core-services/*.sh; do [ -r $f ] && . $f; done; echo went on";
        assert!(in_chroot(netns, root, &[], stage).contains("went on"));
        assert_unchanged(&before, &netns.state());
        netns.ip("address flush dev eth0");
        netns.ip("-6 route flush dev eth0");
        in_chroot(netns, root, &[], stage);
        assert_unchanged(&before, &netns.state());
    });
}

/// initscripts: each line of `route-eth0` and `route6-eth0` is what follows `ip route add`; addresses are sourced.
#[test]
fn initscripts() {
    each_scheme("centos-7", |netns, root| {
        let before = netns.state();
        netns.ip("address flush dev eth0");
        netns.ip("-6 route flush dev eth0");
        let line = "set -e; cd /etc/sysconfig/network-scripts; . ./ifcfg-eth0
            ip address add $IPADDR0/$PREFIX0 dev eth0 brd $([ $PREFIX0 -ge 31 ] && echo 0.0.0.0 || echo +)
            [ -z \"$IPADDR1\" ] || ip address add $IPADDR1/$PREFIX1 dev eth0 brd 0.0.0.0
            for a in $IPV6ADDR $IPV6ADDR_SECONDARIES; do ip address add $a dev eth0 nodad; done
            for f in 4:route-eth0 6:route6-eth0; do [ ! -e ${f#*:} ] || grep -v '^#' ${f#*:} |
                while read line; do ip -${f%:*} route add $line; done; done";
        in_chroot(netns, root, &[], line);
        assert_unchanged(&before, &netns.state());
    });
}

/// wicked: destination, gateway, netmask, interface, and the rest for `ip route add`.
#[test]
fn wicked() {
    each_scheme("opensuse", |netns, root| {
        let before = netns.state();
        netns.ip("address flush dev eth0");
        netns.ip("-6 route flush dev eth0");
        let line = "set -e; cd /etc/sysconfig/network; . ./ifcfg-eth0
            for a in $IPADDR $IPADDR_1 $IPADDR_2 $IPADDR_3 $IPADDR_4; do case $a in
                *:*) ip address add $a dev eth0 nodad ;;
                */3[12]) ip address add $a dev eth0 ;;
                *) ip address add $a dev eth0 brd + ;;
            esac; done
            [ ! -e ifroute-eth0 ] || grep -v '^#' ifroute-eth0 | while read to via mask dev rest; do
                ip route add $to via $via dev $dev proto static $rest; done
            [ -z \"$POST_UP_SCRIPT\" ] || ${POST_UP_SCRIPT#compat:suse:} post-up eth0";
        in_chroot(netns, root, &[], line);
        assert_unchanged(&before, &netns.state());
    });
}
