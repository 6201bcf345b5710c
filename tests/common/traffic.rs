//! Traffic that `ping` cannot make: connections of every protocol that has ports, and packets that lie.
//!
//! Made by a few lines of Python, which is there wherever podman and containerd are tested. SCTP is spoken by hand, an
//! INIT answered with an INIT ACK: connection tracking and NAT look no deeper, and not every kernel has the protocol.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use super::{Netns, tool};

const PYTHON: &str = "/usr/bin/python3";

/// What both ends share.
const COMMON: &str = r"
import socket, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return struct.pack('<I', crc ^ 0xffffffff)
def sctp(source, to, tag, chunk):
    head = struct.pack('!HHI', source, to, tag)
    return head + crc32c(head + bytes(4) + chunk) + chunk
def init(kind, cookie=b''):
    value = struct.pack('!HH', 7, 44) + cookie.ljust(40) if cookie else b''
    return struct.pack('!BBHIIHHI', kind, 0, 20 + len(value), 0x1234, 65536, 1, 1, 1) + value
def family(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET
";

/// Answers on a port of both families with the address that it was asked from.
const SERVER: &str = r"
import selectors
protocol, port = sys.argv[1], int(sys.argv[2])
selector = selectors.DefaultSelector()
for version, any_address in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
    kind = {'tcp': socket.SOCK_STREAM, 'udp': socket.SOCK_DGRAM, 'sctp': socket.SOCK_RAW}[protocol]
    s = socket.socket(version, kind, 132 if protocol == 'sctp' else 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if version == socket.AF_INET6 and protocol != 'sctp':
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if protocol != 'sctp':
        s.bind((any_address, port))
    if protocol == 'tcp':
        s.listen(50)
    selector.register(s, selectors.EVENT_READ)
print('ready', flush=True)
while True:
    for key, _ in selector.select():
        s = key.fileobj
        if protocol == 'tcp':
            c, peer = s.accept()
            c.sendall(peer[0].encode())
            c.close()
            continue
        data, peer = s.recvfrom(2048)
        if protocol == 'udp':
            s.sendto(peer[0].encode(), peer)
            continue
        if s.family == socket.AF_INET:
            data = data[(data[0] & 15) * 4:]
        source, to = struct.unpack('!HH', data[:4])
        if to == port and data[12] == 1:
            s.sendto(sctp(to, source, 0x1234, init(2, peer[0].encode())), (peer[0], 0))
";

/// Asks once; prints the answer.
const CLIENT: &str = r"
protocol, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
source = int(sys.argv[4]) if len(sys.argv) > 4 else 0
if protocol == 'sctp':
    s = socket.socket(family(address), socket.SOCK_RAW, 132)
    s.settimeout(1.5)
    source = source or 40000 + port % 1000
    s.sendto(sctp(source, port, 0, init(1)), (address, 0))
    while True:
        data, peer = s.recvfrom(2048)
        if s.family == socket.AF_INET:
            data = data[(data[0] & 15) * 4:]
        if data[12] == 2 and struct.unpack('!HH', data[:4]) == (port, source):
            assert peer[0] == address, peer
            assert crc32c(data[:8] + bytes(4) + data[12:]) == data[8:12], 'bad checksum'
            print(data[36:].decode().strip())
            break
else:
    s = socket.socket(family(address), socket.SOCK_STREAM if protocol == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(1.5)
    if source:
        s.bind(('', source))
    s.connect((address, port))
    if protocol == 'udp':
        s.send(b'?')
    print(s.recv(100).decode())
";

/// Sends frames or packets that are given as hexadecimal digits.
const FRAMES: &str = r"
link, frames = sys.argv[1], sys.argv[2:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((link, 0))
for frame in frames:
    s.send(bytes.fromhex(frame))
";

/// Says which of the marks it sees in frames on a link, until it has seen the last of them.
const EAR: &str = r"
link, marks = sys.argv[1], sys.argv[2:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((link, 0))
s.settimeout(5)
print('ready', flush=True)
heard = []
try:
    while marks[-1] not in heard:
        data, address = s.recvfrom(4096)
        if address[2] == socket.PACKET_OUTGOING:
            continue
        heard += [mark for mark in marks if bytes.fromhex(mark) in data and mark not in heard]
except TimeoutError:
    pass
print(' '.join(heard))
";

/// A program that answers, until it is dropped.
pub struct Server(Child);

impl Server {
    /// Starts a server in a namespace and waits until it is ready.
    pub fn new(netns: &Netns, protocol: &str, port: u16) -> Self {
        let child = python(netns, SERVER, &[protocol, &port.to_string()]);
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Pings at a hundred a second, 200 of them, from one namespace to several addresses.
pub struct Pings(Vec<Child>);

impl Pings {
    /// Starts them.
    pub fn new(from: &Netns, addresses: &[String]) -> Self {
        let start = |address: &String| {
            let mut command = from.command(&tool("ping"));
            command.args(["-n", "-q", "-i", "0.01", "-c", "200", "-W", "1", address]);
            command.stdout(Stdio::piped()).spawn().expect("start ping")
        };
        Self(addresses.iter().map(start).collect())
    }

    /// Waits for their end; none may be lost.
    #[track_caller]
    pub fn assert_none_lost(self) {
        for ping in self.0 {
            let output = ping.wait_with_output().expect("ping ends");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("200 packets transmitted, 200 received, 0% packet loss"), "{said}");
        }
    }
}

/// Asks a server once: by which address it sees the asker.
pub fn ask(netns: &Netns, protocol: &str, address: &str, port: u16) -> Option<String> {
    ask_from(netns, protocol, address, port, 0)
}

/// The same from a given port.
pub fn ask_from(netns: &Netns, protocol: &str, address: &str, port: u16, source: u16) -> Option<String> {
    let script = format!("{COMMON}{CLIENT}");
    let (port, source) = (port.to_string(), source.to_string());
    let mut command = netns.command(Path::new(PYTHON));
    command.args(["-I", "-c", &script, protocol, address, &port, &source]);
    let output = command.output().expect("run python3");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Takes in what comes for two seconds, from when the first has come; prints how many bits a second that was.
const SINK: &str = r"
import time
s = socket.socket(family(sys.argv[1]))
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('', 9))
s.listen(1)
print('ready', flush=True)
c, _ = s.accept()
# The first half second is what may pass at once.
begin = time.monotonic()
while time.monotonic() < begin + 0.5:
    c.recv(1 << 20)
begin, count = time.monotonic(), 0
while time.monotonic() < begin + 2:
    count += len(c.recv(1 << 20))
print(8 * count / (time.monotonic() - begin))
";

/// Sends as fast as it goes.
const SOURCE: &str = r"
s = socket.socket(family(sys.argv[1]))
s.connect((sys.argv[1], 9))
try:
    while True:
        s.sendall(bytes(1 << 16))
except OSError:
    pass
";

/// How many bits a second go from one namespace to an address in another.
pub fn rate(from: &Netns, to: &Netns, address: &str) -> f64 {
    let sink = python(to, SINK, &[address]);
    let mut source = from.command(Path::new(PYTHON));
    let script = format!("{COMMON}{SOURCE}");
    source.args(["-I", "-c", &script, address]);
    let mut source = source.spawn().expect("run python3");
    let output = sink.wait_with_output().expect("wait for python3");
    let _ = source.kill();
    let _ = source.wait();
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// Sends frames by a link.
pub fn send(netns: &Netns, link: &str, frames: &[String]) {
    let script = format!("{COMMON}{FRAMES}");
    let mut command = netns.command(Path::new(PYTHON));
    command.args(["-I", "-c", &script, link]).args(frames);
    let output = command.output().expect("run python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Somebody who listens on a link for frames with certain marks in them.
pub struct Ear(Child);

impl Ear {
    /// Begins to listen for marks, the last of which is that of a frame that is sure to come.
    pub fn new(netns: &Netns, link: &str, marks: &[&str]) -> Self {
        let arguments: Vec<&str> = [link].iter().chain(marks).copied().collect();
        Self(python(netns, EAR, &arguments))
    }

    /// The marks that were heard.
    pub fn heard(self) -> Vec<String> {
        let output = self.0.wait_with_output().expect("wait for python3");
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
    }
}

/// Starts a script that says when it is ready.
fn python(netns: &Netns, script: &str, arguments: &[&str]) -> Child {
    let script = format!("{COMMON}{script}");
    let mut command = netns.command(Path::new(PYTHON));
    command.args(["-I", "-c", &script]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("run python3");
    let mut line = [0u8; 6];
    let stdout = child.stdout.as_mut().expect("a pipe");
    std::io::Read::read_exact(stdout, &mut line).expect("the script begins");
    assert_eq!(&line, b"ready\n");
    child
}

/// Reads a line, for scripts of one's own.
pub fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    line
}

/// Whether there is a Python to make traffic with.
pub fn can_make_traffic() -> bool {
    Path::new(PYTHON).is_file()
}

/// An Ethernet frame as hexadecimal digits.
pub fn ethernet(to: &str, from: &str, kind: u16, payload: &str) -> String {
    format!("{}{}{kind:04x}{payload}", hex(to), hex(from))
}

/// An ARP packet (RFC 826).
pub fn arp(operation: u16, sender: (&str, &str), target: (&str, &str)) -> String {
    let v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().expect("an IPv4 address").octets();
    let (from, to) = (digits(&v4(sender.1)), digits(&v4(target.1)));
    format!("0001080006 04{operation:04x}{}{from}{}{to}", hex(sender.0), hex(target.0)).replace(' ', "")
}

/// An IPv4 packet of UDP, with a payload by which it is known again.
pub fn udp4(from: &str, to: &str, payload: &[u8]) -> String {
    let v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().expect("an IPv4 address").octets();
    let length = u16::try_from(28 + payload.len()).expect("a short payload");
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    header.extend(v4(from));
    header.extend(v4(to));
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let udp =
        [&4000u16.to_be_bytes()[..], &4001u16.to_be_bytes(), &(length - 20).to_be_bytes(), &[0, 0], payload].concat();
    digits(&[header, udp].concat())
}

/// An IPv6 packet.
pub fn ipv6(from: &str, to: &str, next: u8, payload: &[u8]) -> String {
    let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an IPv6 address").octets();
    let (from, to) = (v6(from), v6(to));
    let length = u16::try_from(payload.len()).expect("a short payload");
    let mut payload = payload.to_vec();
    // The checksum covers a pseudo-header (RFC 8200, section 8.1); it is at 2 in ICMPv6, at 6 in UDP.
    let pseudo = [&from[..], &to, &u32::from(length).to_be_bytes(), &[0, 0, 0, next], &payload].concat();
    let at = if next == 58 { 2 } else { 6 };
    let sum = checksum(&pseudo);
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    let head = [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[next, 255], &from, &to].concat();
    digits(&[head, payload].concat())
}

/// UDP as the payload of IPv6.
pub fn udp6(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a short payload");
    [&4000u16.to_be_bytes()[..], &4001u16.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// An ICMPv6 message.
pub fn icmp6(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0][..], body].concat()
}

/// The octets of an IPv6 address.
pub fn octets6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().expect("an IPv6 address").octets()
}

/// Octets as hexadecimal digits.
pub fn digits(octets: &[u8]) -> String {
    let digit = |digit: u8| char::from_digit(digit.into(), 16).expect("a digit");
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}

fn hex(mac: &str) -> String {
    mac.replace(':', "")
}

/// RFC 1071.
fn checksum(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}
