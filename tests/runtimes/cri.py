#!/usr/bin/env python3
"""cri.py - containerd's Container Runtime Interface, as far as the cases need it.

  cri.py ready IMAGE NETWORK    waits until containerd knows both
  cri.py run NAME IMAGE [[HOSTIP:]HOSTPORT:PORT[/udp]...] -- COMMAND...
                                a pod with one container; prints the pod's id,
                                then the container's process id
  cri.py remove [POD...]        stops and removes pods by their ids, or all

Debian has no client of it. The messages are written by the numbers of their
fields (runtime/v1/api.proto of k8s.io/cri-api), which needs no compiler.
"""

import json
import sys
import time

import grpc

channel = grpc.insecure_channel("unix:///run/containerd/containerd.sock")


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def encode(message):
    """message: {number of a field: int | str | such a message | a list of these}."""
    out = b""
    for number, values in message.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += varint(number << 3) + varint(value)
            else:
                value = encode(value) if isinstance(value, dict) else value.encode()
                out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def decode(data):
    """{number of a field: [int | bytes]}; a message in it is bytes yet."""
    message, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        field, kind = divmod(number(), 8)
        value = number()
        if kind == 2:
            value, at = data[at : at + value], at + value
        elif kind != 0:
            raise ValueError(f"field {field} has wire type {kind}")
        message.setdefault(field, []).append(value)
    return message


def call(method, message, service="RuntimeService"):
    return decode(channel.unary_unary(f"/runtime.v1.{service}/{method}")(encode(message), timeout=15))


def info(answer, key):
    """What a verbose answer says beyond the interface: a map of words to JSON."""
    pairs = (decode(pair) for pair in answer.get(2, []))
    return next(json.loads(pair[2][0]) for pair in pairs if pair[1][0] == key.encode())


def ready(image, network):
    for _ in range(100):
        loaded = info(call("Status", {1: 1}), "cniconfig")["Networks"] or []
        names = [each["Config"]["Name"] for each in loaded]
        if network in names and 1 in call("ImageStatus", {1: {1: image}}, "ImageService"):
            return
        time.sleep(0.1)
    sys.exit(f"cri.py: containerd lacks the image, or the network among {names}")


def port_mapping(text):
    text, _, protocol = text.partition("/")
    host, port = text.rsplit(":", 1)
    address, _, host = host.rpartition(":")
    return {1: {"": 0, "tcp": 0, "udp": 1}[protocol], 2: int(port), 3: int(host), 4: address}


def run(name, image, *rest):
    ports, command = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    config = {1: {1: name, 2: f"uid-{name}", 3: "default"}, 2: name, 5: [port_mapping(port) for port in ports]}
    pod = call("RunPodSandbox", {1: config})[1][0].decode()
    print(pod, flush=True)  # whatever comes next, it is there now
    container = call("CreateContainer", {1: pod, 2: {1: {1: name}, 2: {1: image}, 3: list(command)}, 3: config})
    container = container[1][0].decode()
    call("StartContainer", {1: container})
    print(info(call("ContainerStatus", {1: container, 2: 1}), "info")["pid"])


def remove(*pods):
    for pod in pods or [decode(item)[1][0].decode() for item in call("ListPodSandbox", {}).get(1, [])]:
        call("StopPodSandbox", {1: pod})
        call("RemovePodSandbox", {1: pod})


try:
    {"ready": ready, "run": run, "remove": remove}[sys.argv[1]](*sys.argv[2:])
except grpc.RpcError as error:
    sys.exit(f"cri.py: {error.code().name}: {error.details()}")
