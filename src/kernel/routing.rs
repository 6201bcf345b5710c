//! Routing daemons, asked over the sockets by which their own command lines speak to them.
//!
//! BIRD: a line a command; answers are lines with a code of four digits, the last of which has a blank behind it (`birdc`,
//! "Remote control" in BIRD's manual). FRR: a command with a NUL behind it to the socket of each daemon; the answer ends
//! with three NULs and a status (`lib/vty.c`).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

/// A daemon answers within milliseconds, unless it is computing a full table.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longer answers are cut: what is asked for is one route.
const MAX_ANSWER: usize = 1 << 20;

/// A routing daemon that is there.
#[derive(Debug)]
pub struct RoutingDaemon {
    /// `BIRD` or `FRR`.
    pub name: &'static str,
    /// The folder of its sockets, or its socket.
    pub place: PathBuf,
}

/// What a daemon makes of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picked {
    /// It does not know it.
    Unknown,
    /// It knows it, and tells nobody.
    Known,
    /// It announces it.
    Announced,
}

impl RoutingDaemon {
    /// Those whose sockets there are, below the folder `root`.
    #[must_use]
    pub fn all(root: &str) -> Vec<Self> {
        let of = |name, path: &str| Self { name, place: PathBuf::from(format!("{root}{path}")) };
        let mut found = vec![of("BIRD", "/run/bird/bird.ctl"), of("FRR", "/run/frr")];
        found
            .retain(|daemon| daemon.name == "BIRD" && daemon.place.exists() || daemon.place.join("zebra.vty").exists());
        found
    }

    /// What the daemon makes of the host's route to `dst`.
    pub fn picked(&self, dst: IpNet) -> io::Result<Picked> {
        if self.name == "BIRD" { ask_bird(&self.place, dst) } else { ask_frr(&self.place, dst) }
    }
}

fn ask_bird(socket: &Path, dst: IpNet) -> io::Result<Picked> {
    let mut bird = Bird::connect(socket)?;
    if !bird.finds(&format!("show route table all {dst}"))? {
        return Ok(Picked::Unknown);
    }
    for protocol in bird.neighbours()? {
        if bird.finds(&format!("show route {dst} export {protocol}"))? {
            return Ok(Picked::Announced);
        }
    }
    Ok(Picked::Known)
}

struct Bird(UnixStream);

impl Bird {
    fn connect(socket: &Path) -> io::Result<Self> {
        let mut bird = Self(connect(socket)?);
        bird.answer()?; // 0001 BIRD 2.0.12 ready.
        Ok(bird)
    }

    fn ask(&mut self, command: &str) -> io::Result<String> {
        self.0.write_all(format!("{command}\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<String> {
        read_until(&mut self.0, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.ends_with('\n') && text.lines().last().is_some_and(is_last_of_bird)
        })
    }

    /// Whether the answer has a route. (One line with its table is before it, and that alone if there is none.)
    fn finds(&mut self, command: &str) -> io::Result<bool> {
        Ok(self
            .ask(command)?
            .lines()
            .any(|line| line.contains('[') && !line.starts_with('8') && !line.starts_with('9')))
    }

    /// The protocols by which routes are told to others.
    fn neighbours(&mut self) -> io::Result<Vec<String>> {
        let text = self.ask("show protocols")?;
        let rows = text.lines().map(|line| line.strip_prefix("2002-").or(line.strip_prefix(' ')).unwrap_or(line));
        let rows = rows.map(|row| row.split_whitespace().collect::<Vec<_>>());
        let speaks = |kind: &str| ["BGP", "OSPF", "Babel", "RIP"].iter().any(|known| kind.starts_with(known));
        Ok(rows.filter(|row| row.len() > 3 && speaks(row[1])).map(|row| row[0].to_owned()).collect())
    }
}

/// Whether a line of BIRD's is the last of an answer: a code, and no `-` that says "more to come".
fn is_last_of_bird(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.len() >= 5 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b' '
}

fn ask_frr(folder: &Path, dst: IpNet) -> io::Result<Picked> {
    let (ip, bgp) = if dst.addr().is_ipv4() { ("ip", "ipv4") } else { ("ipv6", "ipv6") };
    let ask = |daemon: &str, command: &str| vty(&folder.join(format!("{daemon}.vty")), command);
    let known = ask("zebra", &format!("show {ip} route {dst} json"))?;
    let known: Value = serde_json::from_str(&known).unwrap_or_default();
    let entries =
        known.as_object().into_iter().flat_map(|object| object.values()).filter_map(Value::as_array).flatten();
    if !entries.into_iter().any(|entry| entry["protocol"] == "kernel" && entry["selected"] == true) {
        return Ok(Picked::Unknown);
    }
    // A daemon that does not run is no error: few hosts have all of them.
    let bgp = ask("bgpd", &format!("show bgp {bgp} unicast {dst} json")).unwrap_or_default();
    let bgp: Value = serde_json::from_str(&bgp).unwrap_or_default();
    let mut is_told = bgp["paths"].as_array().is_some_and(|paths| paths.iter().any(|path| path["sourced"] == true));
    let address = dst.addr();
    if address.is_ipv4() {
        let lsa = ask("ospfd", &format!("show ip ospf database external {address} self-originate")).unwrap_or_default();
        is_told |= lsa.contains(&format!("Link State ID: {address}"));
    } else {
        let list = ask("ospf6d", "show ipv6 ospf6 redistribute").unwrap_or_default();
        is_told |= list.split_whitespace().any(|word| word == dst.to_string());
    }
    Ok(if is_told { Picked::Announced } else { Picked::Known })
}

fn vty(socket: &Path, command: &str) -> io::Result<String> {
    let mut stream = connect(socket)?;
    let mut run = |command: &str| {
        stream.write_all(format!("{command}\0").as_bytes())?;
        read_until(&mut stream, |bytes| bytes.len() >= 4 && bytes[bytes.len() - 4..bytes.len() - 1] == [0, 0, 0])
    };
    run("enable")?;
    Ok(run(command)?.trim_end_matches(|c: char| c.is_control()).to_owned())
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read_until(stream: &mut UnixStream, is_whole: impl Fn(&[u8]) -> bool) -> io::Result<String> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&answer) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&buffer[..count]),
        }
        if answer.len() > MAX_ANSWER {
            return Err(io::Error::other("the answer is longer than that about one route can be"));
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_an_answer_is_known() {
        assert!(is_last_of_bird("0001 BIRD 2.0.12 ready."));
        assert!(is_last_of_bird("0000 "));
        assert!(!is_last_of_bird("1007-Table master4:"));
        assert!(!is_last_of_bird(" 10.171.1.1/32        unicast [kernel4 05:34:02] * (10)"));
    }
}
