"""timing.py - how long it takes: peer after peer, round after round, or many at once."""

import os
import sys
from collections import defaultdict
from functools import partial

import lab
import peers

OTHERS = 1000
"""The numbers of containers that are there all the time begin here: none is that of a round."""
LEASES = 12000
"""And those of containers that have left a lease here."""
AT_ONCE = 500
"""Namespaces at a time in which leases are made."""


def alone(peer, scenario):
    """Why a peer cannot be asked by many at once."""
    if scenario == "ports" and isinstance(peer, peers.Reference):
        return "it takes two plugins, and nobody is there to run them in turn"
    return None


class Skipped(dict):
    """Who is not measured, and why: `PEER, SCENARIO` to reason."""

    def note(self, peer, scenario, why):
        if why:
            self[f"{peer.name}, {scenario}"] = why
            lab.say(f"not measured: {peer.name}, {scenario}: {why}")

    def without(self, line, scenario):
        return [peer for peer in line if f"{peer.name}, {scenario}" not in self]


def trying(peer, scenario, skipped, body):
    """Does `body`. If somebody else's plugin fails, it is not measured, and the others are; None is returned."""
    try:
        return body()
    except lab.Failed as failure:
        if isinstance(peer, (peers.Springline, peers.Floor)):
            raise
        skipped.note(peer, scenario, str(failure))
        return None


class Progress:
    """One line on a terminal, a line a scenario elsewhere."""

    def __init__(self, what):
        self.what, self.live = what, sys.stderr.isatty()
        if not self.live:
            lab.say(what)

    def at(self, text):
        if self.live:
            print(f"\r\033[K{self.what}: {text}", end="", file=sys.stderr, flush=True)

    def end(self):
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


# ------------------------------------------------------------------ in turn


class Case:
    """A peer on a host of its own with so many others and leases there, and what each round took."""

    def __init__(self, peer, population, leases):
        self.peer, self.population, self.leases = peer, population, leases
        self.rounds = defaultdict(list)

    def note(self, verb, outcomes):
        took = {
            "ms": sum(o.wall for o in outcomes),
            "cpu_ms": sum(o.user + o.system for o in outcomes),
            "ended_ms": sum(o.settled for o in outcomes),
        }
        for key, micros in took.items():
            self.rounds[f"{verb.lower()}_{key}"].append(micros / 1000)


def cases(scenario, chosen, line, skipped):
    """The same peers for each population and number of leases."""
    line = skipped.without(line, scenario)
    for population in chosen.population:
        for leases in chosen.leases:
            for peer in (
                line if (population, leases) == (chosen.population[0], chosen.leases[0]) else again(line, chosen)
            ):
                floor = isinstance(peer, peers.Floor)
                if leases and not floor and not isinstance(peer, (peers.Springline, peers.Reference)):
                    lab.say(f"not measured: {peer.name}, {scenario}, {leases} leases: it keeps none")
                else:
                    yield Case(peer, population, leases)


def again(line, chosen):
    """New peers of the same names: each has a host and a memory of its own."""
    names = {peer.name for peer in line}
    return [peer for peer in peers.everybody(chosen.springline) if peer.name in names]


def in_turn(line, scenario, chosen, skipped):
    """ADD and DEL, peer after peer, round after round."""
    all_ = list(cases(scenario, chosen, line, skipped))
    progress = Progress(f"{scenario}: {', '.join(dict.fromkeys(case.peer.name for case in all_))}")
    made = []
    for at, case in enumerate(all_):
        progress.at(f"{case.peer.name}: {case.population} others, {case.leases} leases")
        host = lab.new_host(f"{scenario}-host{at}")
        made.append(host)
        case.peer.prepare(host, scenario, lab.folder(scenario, str(at)))
        lease(case.peer, case.leases)
        made += populate(case.peer, case.population)
    for turn in range(-1, chosen.rounds):  # the first one finds its programs on a disk, and does not count
        progress.at(f"round {turn + 1} of {chosen.rounds}")
        containers = lab.namespaces([f"{scenario}-{turn + 1}-{at}" for at in range(len(all_))])
        made += containers
        for case, container in zip(all_, containers):
            if case.peer in skipped.without([case.peer], scenario):
                trying(case.peer, scenario, skipped, partial(one_round, case, turn, container))
    progress.at("clearing away")
    lab.remove(made)
    progress.end()
    return [
        {
            "peer": case.peer.name,
            "mode": case.peer.mode,
            "population": case.population,
            "leases": case.leases,
            **case.rounds,
        }
        for case in all_
        if case.peer in skipped.without([case.peer], scenario)
    ]


def one_round(case, turn, container):
    for verb in ("ADD", "DEL"):
        outcomes = case.peer.run(verb, turn + 1, container)
        if turn >= 0:
            case.note(verb, outcomes)


def populate(peer, count):
    """Attaches containers that stay; returns their namespaces."""
    numbers = range(OTHERS, OTHERS + count)
    made = lab.namespaces([f"others-{peer.host}-{number}" for number in numbers])
    for number, name in zip(numbers, made):
        peer.run("ADD", number, name)
    return made


def lease(peer, count):
    """Leaves leases of containers that are no more: attached on a host that goes with all its links."""
    if isinstance(peer, peers.Floor):
        return
    for begin in range(LEASES, LEASES + count, AT_ONCE):
        host = lab.new_host(f"scratch-{peer.host}")
        numbers = range(begin, min(begin + AT_ONCE, LEASES + count))
        names = lab.namespaces([f"{host}-{number}" for number in numbers])
        lab.launch(host, [peer.lease(number, name) for number, name in zip(numbers, names)], workers=os.cpu_count())
        lab.remove([host, *names])


# ------------------------------------------------------------------ at once


def in_parallel(line, scenario, chosen, skipped):
    """How many a second, if many are asked for at once."""
    line = skipped.without(line, scenario)
    count, workers = chosen.parallel
    progress = Progress(f"{scenario}, {count} over {workers}: {', '.join(peer.name for peer in line)}")
    rows = {peer.name: {"peer": peer.name, "add_per_s": [], "del_per_s": []} for peer in line}
    for turn in range(-1, chosen.rounds):
        for at, peer in enumerate(skipped.without(line, scenario)):
            progress.at(f"round {turn + 1} of {chosen.rounds}: {peer.name}")
            tag = f"{scenario}-{turn + 1}-{at}"
            rates = trying(peer, scenario, skipped, partial(rates_of, peer, scenario, tag, count, workers))
            for key, rate in (rates or {}).items() if turn >= 0 else ():
                rows[peer.name][key].append(rate)
    progress.end()
    return [rows[peer.name] for peer in skipped.without(line, scenario)]


def rates_of(peer, scenario, tag, count, workers):
    """One round on a new host."""
    host = lab.new_host(f"{tag}-host")
    containers = lab.namespaces([f"{tag}-{number}" for number in range(count)])
    peer.prepare(host, scenario, lab.folder(tag))
    rates = {}
    try:
        for verb in ("ADD", "DEL"):
            jobs = [call(None) for number, name in enumerate(containers) for call in peer.calls(verb, number, name)]
            outcomes, total = lab.launch(host, jobs, workers)
            for number, outcome in enumerate(outcomes):
                if verb == "ADD" and isinstance(peer, peers.Cni):
                    peer.keep(number, outcome.out)
            rates[f"{verb.lower()}_per_s"] = count / total * 1e6
    finally:
        lab.remove([host, *containers])
    return rates
