"""peers.py - who is measured: springline, the floor, and others that are installed here, called as runtimes do.

A peer is asked for one thing in scenario `plain`, `masq` (masquerade) or `ports` (masquerade, and a port of the
host's): an address of 10.N.0.0/16 on the interface eth0 of a namespace. IPv4 only, for not all of them know more.
"""

import json
import os

import lab

SCENARIOS = ("plain", "masq", "ports")
CNI_BIN = "/usr/lib/cni"
NETAVARK = "/usr/lib/podman/netavark"
CONTAINER_PORT = 80
FIRST_PORT = 20000


class Peer:
    """One way to attach containers, on one host, in one scenario."""

    mode = "routed"
    """`routed` or `bridged`."""
    package = None
    """The Debian package that it comes with, if any."""

    def __init__(self, name, subnet):
        self.name, self.subnet = name, subnet

    def missing(self, _scenario):
        """Why it cannot be measured, or None."""
        return None

    def prepare(self, host, scenario, state):
        """Before the first ADD on `host`: `state` is a folder for it."""
        self.host, self.scenario, self.state = host, scenario, state

    def calls(self, verb, number, netns):
        """The jobs of one ADD or DEL, each a function of what the one before has said."""
        raise NotImplementedError

    def run(self, verb, number, netns, changed=lambda job: job):
        """Attaches or detaches container `number`; returns the outcomes of its programs. `changed` says which job is
        run in place of another."""
        outcomes, said = [], None
        for call in self.calls(verb, number, netns):
            (outcome,), _ = lab.launch(self.host, [changed(call(said))])
            outcomes.append(outcome)
            said = outcome.out
        return outcomes

    def program(self):
        """The program whose size counts."""
        raise NotImplementedError

    def address(self, number):
        return f"10.{self.subnet}.{number // 250 + 1}.{number % 250 + 1}"


class Floor(Peer):
    """floor.c; it knows of nothing but `plain`, which is the unit in all scenarios."""

    def __init__(self, mode, subnet):
        super().__init__(f"floor-{mode}", subnet)
        self.mode, self.present = mode, 0

    def calls(self, verb, number, netns):
        name = f"fl{number}"
        bridge = ["br-fl"] if self.mode == "bridged" else []
        if verb == "ADD":
            self.present += 1
            gateway = f"10.{self.subnet}.0.1" if bridge else "169.254.0.1"
            words = [
                "add",
                self.mode,
                lab.path(netns),
                name,
                self.address(number),
                gateway,
                *(["16"] if bridge else []),
            ]
        else:
            self.present -= 1
            # With the last one the bridge goes, as springline's does; the floor is told, others must know.
            words = ["del", name]
            bridge = bridge if not self.present else []
        return [lambda _: lab.Job([self.program(), *words, *bridge], {}, "")]

    def program(self):
        return lab.compile_c("floor")


class Cni(Peer):
    """A chain of CNI plugins, as libcni runs it: a process a plugin, results handed on."""

    def prepare(self, host, scenario, state):
        super().prepare(host, scenario, state)
        self.results = {}

    def chain(self):
        """The configurations, in the order of ADD."""
        raise NotImplementedError

    def binary(self, kind):
        return f"{CNI_BIN}/{kind}"

    def variables(self):
        return {}

    def calls(self, verb, number, netns):
        chain = self.chain()
        for at, configuration in enumerate(chain if verb == "ADD" else reversed(chain)):
            yield lambda said, configuration=configuration, first=at == 0: self.job(
                verb, number, netns, configuration, None if first and verb == "ADD" else said
            )

    def job(self, verb, number, netns, configuration, said):
        configuration = {"cniVersion": "1.0.0", "name": "bench", **configuration}
        if verb == "DEL":
            configuration["prevResult"] = self.results[number]
        elif said:
            configuration["prevResult"] = json.loads(said)
        if configuration.get("capabilities"):
            configuration["runtimeConfig"] = {
                "portMappings": [{"hostPort": FIRST_PORT + number, "containerPort": CONTAINER_PORT, "protocol": "tcp"}]
            }
        variables = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": f"c{number}",
            "CNI_NETNS": lab.path(netns),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": CNI_BIN,
            **self.variables(),
        }
        return lab.Job([self.binary(configuration["type"])], variables, json.dumps(configuration))

    def keep(self, number, said):
        """The result of ADD, which DEL is given."""
        self.results[number] = json.loads(said)

    def run(self, verb, number, netns, changed=lambda job: job):
        outcomes = super().run(verb, number, netns, changed)
        if verb == "ADD":
            self.keep(number, outcomes[-1].out)
        return outcomes

    def lease(self, number, netns):
        """The job that leaves a lease behind, without ports."""
        first, *_ = self.chain()
        first.pop("capabilities", None)
        return self.job("ADD", number, netns, first, None)

    def ports(self):
        return {"capabilities": {"portMappings": True}} if self.scenario == "ports" else {}


class Springline(Cni):
    """springline, called by CNI, in one of its modes; `extra` keys go into the network's configuration."""

    def __init__(self, label, path, mode, subnet, **extra):
        super().__init__(f"springline-{mode}{label}", subnet)
        self.path, self.mode, self.extra = path, mode, extra

    def chain(self):
        ipam = {"type": "springline", "ranges": [[{"subnet": f"10.{self.subnet}.0.0/16"}]]}
        return [
            {
                "type": "springline",
                "mode": self.mode,
                "ipam": ipam,
                "masquerade": self.scenario != "plain",
                **self.ports(),
                **self.extra,
            }
        ]

    def binary(self, _kind):
        return self.path

    def program(self):
        return self.path

    def variables(self):
        return {"SPRINGLINE_STATE_DIR": self.state}


class Reference(Cni):
    """The reference plugin `bridge` or `ptp`, with `host-local` and, for ports, `portmap`."""

    package = "containernetworking-plugins"

    def __init__(self, kind, subnet):
        super().__init__(kind, subnet)
        self.kind, self.mode = kind, "bridged" if kind == "bridge" else "routed"

    def missing(self, scenario):
        if not os.access(self.program(), os.X_OK):
            return f"no {self.program()}: apt-get install {self.package}"
        if scenario != "plain" and not os.path.exists("/usr/sbin/iptables"):
            return "it masquerades by iptables: apt-get install iptables"
        return None

    def ipam(self):
        return {
            "type": "host-local",
            "dataDir": self.state,
            "ranges": [[{"subnet": f"10.{self.subnet}.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }

    def chain(self):
        first = {"type": self.kind, "ipMasq": self.scenario != "plain", "ipam": self.ipam()}
        if self.kind == "bridge":
            first |= {"bridge": "br-ref", "isGateway": True}
        return [first] + ([{"type": "portmap", "snat": True, **self.ports()}] if self.scenario == "ports" else [])

    def lease(self, number, netns):
        return self.job("ADD", number, netns, {"type": "host-local", "ipam": self.ipam()}, None)

    def program(self):
        return self.binary(self.kind)


class Netavark(Peer):
    """podman's netavark, with a bridge of its own and the firewall that it chooses. Addresses are podman's to choose,
    so they are given. It always masquerades, unless the network is `internal`; that has no default route either."""

    package, mode = "netavark", "bridged"

    def missing(self, scenario):
        if not os.access(NETAVARK, os.X_OK):
            return f"no {NETAVARK}: apt-get install {self.package}"
        if scenario != "plain" and not os.path.exists("/usr/sbin/iptables"):
            return "it masquerades by iptables: apt-get install iptables"
        return None

    def calls(self, verb, number, netns):
        network = {
            "name": "nv",
            "id": f"{self.subnet:064x}",
            "driver": "bridge",
            "network_interface": "br-nv",
            "internal": self.scenario == "plain",
            "dns_enabled": False,
            "ipv6_enabled": False,
            "subnets": [{"subnet": f"10.{self.subnet}.0.0/16", "gateway": f"10.{self.subnet}.0.1"}],
            "ipam_options": {"driver": "host-local"},
            "options": {},
        }
        ports = [
            {
                "host_ip": "",
                "host_port": FIRST_PORT + number,
                "container_port": CONTAINER_PORT,
                "range": 1,
                "protocol": "tcp",
            }
        ]
        asked = {
            "container_id": f"{number:064x}",
            "container_name": f"c{number}",
            "port_mappings": ports if self.scenario == "ports" else [],
            "networks": {"nv": {"interface_name": "eth0", "static_ips": [self.address(number)]}},
            "network_info": {"nv": network},
        }
        words = [NETAVARK, "--config", self.state, "setup" if verb == "ADD" else "teardown", lab.path(netns)]
        return [lambda _: lab.Job(words, {}, json.dumps(asked))]

    def program(self):
        return NETAVARK


def everybody(binaries):
    """Who there is, the two floors first. `binaries`: (label, path) of each springline."""
    peers = [Floor("routed", 91), Floor("bridged", 92)]
    subnet = 100
    for label, path in binaries:
        label = f":{label}" if label else ""
        for mode in ("routed", "bridged"):
            peers.append(Springline(label, path, mode, subnet))
            subnet += 1
    return peers + [Reference("bridge", 93), Reference("ptp", 94), Netavark("netavark", 95)]


DEFAULT_BINARY = os.path.join(lab.ROOT, "target/release/springline")


def arguments(parser, only):
    """What the programs of this folder have in common."""
    parser.add_argument("--only", default="", metavar="LIST", help=only)
    parser.add_argument(
        "--springline",
        action="append",
        metavar="[NAME=]PATH",
        help="the binary (target/release/springline); several, with names, are measured side by side",
    )
    parser.add_argument("--markdown", action="store_true", help="tables as in the README")
    parser.add_argument("--json", metavar="FILE", help="all figures, those of each round included")


def chosen_by(parser):
    """The arguments, with `springline` as (name, path) of each binary, and `words` of --only."""
    chosen = parser.parse_args()
    given = [word.rpartition("=") for word in chosen.springline or [DEFAULT_BINARY]]
    chosen.springline = [(name, os.path.abspath(path)) for name, _, path in given]
    for _, path in chosen.springline:
        if not os.access(path, os.X_OK):
            parser.error(f"no program {path}: cargo build --release, or --springline PATH")
    if len({name for name, _ in chosen.springline}) < len(chosen.springline):
        parser.error("--springline: several need a name each: NAME=PATH")
    chosen.words = [word for word in chosen.only.split(",") if word]
    return chosen
