"""lab.py - where tests/bench measures: a machine of its own, which goes when the program ends.

The program runs itself anew in namespaces of its own for mounts, processes and networks (`unshare`), with a /run of its
own; so nothing is left, however it ends, and the machine's network is not within reach. Inside, "hosts" and containers
are named network namespaces.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = "/run/bench"
INSIDE = "SPRINGLINE_BENCH_INSIDE"
PREFIX = "slb-"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

Outcome = namedtuple("Outcome", "status wall user system faults memory settled out")
"""One program that ran: exit status, times in microseconds, minor page faults, peak memory in KB (see launch.c), and
what it said."""


class Failed(Exception):
    """Something that the user is told in one line."""


def say(text):
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)


def enter():
    """Goes on in namespaces of its own, as the first process there: with it everything ends."""
    if os.environ.get(INSIDE):
        mount("tmpfs", "/run", "-t", "tmpfs", "-o", "mode=0755,size=75%")
        if os.path.isdir("/var/lib/cni"):
            mount("tmpfs", "/var/lib/cni", "-t", "tmpfs")
        os.makedirs(f"{WORK}/jobs")
        os.makedirs("/run/netns")
        ip("link", "set", "lo", "up")
        return
    if os.geteuid():
        raise Failed("it makes network namespaces: run it as root")
    # Whoever is killed takes with him those after him: this process, unshare, the one inside.
    inside = subprocess.Popen(
        [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            sys.executable,
            *sys.argv,
        ],
        env={**os.environ, INSIDE: "1"},
    )
    try:
        sys.exit(inside.wait())
    except KeyboardInterrupt:
        # From the terminal, where the process inside has got it, too; or from `kill`, where it has not.
        try:
            sys.exit(inside.wait(timeout=2))
        except subprocess.TimeoutExpired:
            inside.kill()
    raise KeyboardInterrupt


def mount(what, where, *options):
    run("mount", *options, what, where)


def run(*words, stdin=None, check=True):
    """Runs a program of the system's; returns what it said."""
    done = subprocess.run(words, input=stdin, text=True, capture_output=True)
    if check and done.returncode:
        raise Failed(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def ip(*words, netns=None):
    return run("ip", *(["-n", netns] if netns else []), *words)


def ip_json(*words, netns=None):
    return json.loads(ip("-j", "-d", *words, netns=netns) or "[]")


def namespaces(names):
    """Makes network namespaces by these names, and returns the names."""
    names = [PREFIX + name for name in names]
    run("ip", "-batch", "-", stdin="".join(f"netns add {name}\n" for name in names))
    return names


def remove(names):
    run("ip", "-batch", "-", stdin="".join(f"netns del {name}\n" for name in names))


def path(netns):
    return f"/run/netns/{netns}"


def new_host(name):
    """A namespace that forwards, has its loopback link, and nothing else."""
    (host,) = namespaces([name])
    ip("link", "set", "lo", "up", netns=host)
    in_netns(host, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    return host


def in_netns(netns, *words, **options):
    return run("ip", "netns", "exec", netns, *words, **options)


def folder(*parts):
    """A folder for somebody's state."""
    made = os.path.join(WORK, *parts)
    os.makedirs(made, exist_ok=True)
    return made


def compile_c(name):
    """Compiles a program of this folder; returns its path."""
    if not shutil.which("gcc"):
        raise Failed("no gcc: apt-get install gcc libc6-dev")
    program = os.path.join(WORK, name)
    if not os.path.exists(program):
        run("gcc", "-std=gnu11", "-O2", "-static", "-Wall", "-Wextra", "-o", program, os.path.join(HERE, f"{name}.c"))
    return program


class Job(namedtuple("Job", "arguments environment stdin")):
    """A program to be run: words, variables beside ENVIRONMENT, and what it reads."""


def launch(host, jobs, workers=1, expected=0, under=()):
    """Runs jobs in the namespace `host` by launch.c; returns their outcomes, and the microseconds it took in all. `under`:
    words of a program that runs launch.c."""
    at = f"{WORK}/jobs"
    for number, job in enumerate(jobs):
        words = {"args": job.arguments, "env": [f"{k}={v}" for k, v in {**ENVIRONMENT, **job.environment}.items()]}
        for suffix, list_ in words.items():
            write(f"{at}/{number}.{suffix}", "".join(f"{word}\0" for word in list_))
        write(f"{at}/{number}.in", job.stdin)
    lines = run(*under, compile_c("launch"), path(host), at, str(len(jobs)), str(workers)).split("\n")
    outcomes = [None] * len(jobs)
    total = 0
    for line in filter(None, lines):
        words = line.split()
        if words[0] == "total":
            total = int(words[1])
        else:
            number = int(words[0])
            outcomes[number] = Outcome(*map(int, words[1:]), read(f"{at}/{number}.out"))
    for job, outcome in zip(jobs, outcomes):
        if outcome.status != expected:
            raise Failed(
                f"{' '.join(job.arguments)} ({job.environment.get('CNI_COMMAND', '')}) failed with status "
                f"{outcome.status}: {outcome.out.strip()}"
            )
    return outcomes, total


def write(file, text):
    with open(file, "w", encoding="utf-8") as out:
        out.write(text)


def read(file):
    with open(file, encoding="utf-8", errors="replace") as text:
        return text.read()


def machine():
    """What the figures are of, in one line."""
    model = re.search(r"^model name\s*: (.*)", read("/proc/cpuinfo"), re.M)
    system = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.M)
    return (
        f"{os.cpu_count()} processors ({model[1] if model else os.uname().machine}), Linux {os.uname().release}, "
        f"{system[1] if system else 'unknown system'}"
    )


def versions(packages):
    """Installed versions of Debian packages, by name; what is not installed is left out."""
    said = run("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *packages, check=False)
    return {
        name: version
        for name, version, status in (line.split() for line in said.splitlines() if line.count(" ") == 2)
        if status == "installed"
    }


def versions_said(packages):
    return ", ".join(f"{name} {version}" for name, version in versions(packages).items())


def main(body, options):
    """Runs a program of this folder: errors in one line, and Ctrl-C without a picture of the stack."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for file in filter(None, [options.json, *(path for _, path in options.springline)]):
            if os.path.realpath(file).startswith("/run/"):
                raise Failed(f"{file}: it has a /run of its own: choose another folder")
        enter()
        body(options)
    except Failed as failure:
        print(f"{os.path.basename(sys.argv[0])}: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
