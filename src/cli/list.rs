//! `springline ls` and `inspect`: what is plugged where, by whom, and whether it is as it should be.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::output::Output;
use super::{check, say, table};
use crate::error::{Code, Coded, Error, Result};
use crate::exec::Engine;
use crate::graph::State;
use crate::kernel::Counters;
use crate::model::{AttachmentKey, IfName, Rate};
use crate::plan::{Record, Step};
use crate::store::Store;

/// What to list.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which attachments: NETWORK, NETWORK/ID or NETWORK/ID/IFNAME, or a container's ID; all of them if none is named
    attachments: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// How an attachment is.
pub(super) enum Look {
    /// As recorded.
    Ok,
    /// These steps do not hold.
    Drifted(Vec<Step>),
    /// Its namespace is gone.
    Orphaned,
    /// Its record cannot be read, or the look at it failed.
    Unknown(String),
}

/// One attachment, looked at.
pub(super) struct Entry {
    pub(super) key: AttachmentKey,
    pub(super) record: Option<Record>,
    pub(super) state: Look,
    counters: Option<Counters>,
}

pub(super) fn ls(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let entries = entries(&arguments.attachments)?;
    if arguments.output.is_json() {
        let list = entries.iter().map(Entry::to_json).collect();
        return say(out, format!("{:#}", Value::Array(list)));
    }
    let rows = entries.iter().map(Entry::row).collect::<Vec<_>>();
    let heads = ["network", "container", "interface", "host", "addresses", "ports", "age", "by", "state"];
    table::print(out, &heads, &rows)
}

pub(super) fn inspect(arguments: &Arguments, out: &mut impl Write) -> Result<()> {
    let entries = entries(&arguments.attachments)?;
    if entries.is_empty() {
        let what = if arguments.attachments.is_empty() { "there is none" } else { "no such attachment" };
        return Err(Error::new(Code::UnknownContainer, arguments.attachments.join(", ")).context(what));
    }
    if arguments.output.is_json() {
        let list = entries.iter().map(Entry::to_json).collect();
        return say(out, format!("{:#}", Value::Array(list)));
    }
    entries.iter().try_for_each(|entry| entry.show(out))
}

fn entries(names: &[String]) -> Result<Vec<Entry>> {
    let engine = Engine::open(Store::open()?)?;
    let counters = engine.host.counters().coded(Code::Kernel, || "read the counters of the links")?;
    let mut entries = Vec::new();
    for key in engine.store.attachments()?.into_iter().filter(|key| check::is_named(key, names)) {
        entries.push(entry(&engine, key, &counters));
    }
    Ok(entries)
}

/// Looks at an attachment.
pub(super) fn entry(engine: &Engine, key: AttachmentKey, counters: &BTreeMap<String, Counters>) -> Entry {
    let record = engine.store.record(&key);
    let state = match &record {
        Err(error) => Look::Unknown(error.to_string()),
        Ok(Some(record)) if !engine.is_alive(record) => Look::Orphaned,
        Ok(_) => match engine.inspect(&key) {
            Ok(missing) if missing.is_empty() => Look::Ok,
            Ok(missing) => Look::Drifted(missing),
            Err(error) => Look::Unknown(error.to_string()),
        },
    };
    let record = record.ok().flatten();
    let link = record.as_ref().and_then(Record::host_link);
    // What the host's end receives, the container has sent.
    let turned = |seen: &Counters| Counters {
        received_bytes: seen.sent_bytes,
        received_packets: seen.sent_packets,
        sent_bytes: seen.received_bytes,
        sent_packets: seen.received_packets,
    };
    let counters = link.and_then(|link| counters.get(link.as_str())).map(turned);
    Entry { key, record, state, counters }
}

impl Entry {
    fn addresses(&self) -> Vec<String> {
        let outcome = self.record.as_ref().and_then(|record| record.outcome.as_ref());
        outcome.into_iter().flat_map(|outcome| &outcome.addresses).map(|address| address.net.to_string()).collect()
    }

    fn routes(&self) -> Vec<String> {
        let wanted = self.record.iter().filter_map(|record| record.wanted.as_ref());
        let routes = wanted.flat_map(|wanted| &wanted.network.routes);
        routes
            .map(|route| route.via.map_or_else(|| route.dst.to_string(), |via| format!("{} via {via}", route.dst)))
            .collect()
    }

    pub(super) fn ports(&self) -> Vec<String> {
        let wanted = self.record.iter().filter_map(|record| record.wanted.as_ref());
        wanted.flat_map(|wanted| &wanted.ports).map(|map| format!("{map}→{}", map.container_port)).collect()
    }

    fn rates(&self) -> [Option<&Rate>; 2] {
        let rates = self.record.as_ref().and_then(|record| record.wanted.as_ref()).map(|wanted| &wanted.rates);
        [rates.and_then(|rates| rates.received.as_ref()), rates.and_then(|rates| rates.sent.as_ref())]
    }

    /// The rates to which it is limited, in words.
    pub(super) fn limits(&self) -> Vec<String> {
        let rates = ["receives", "sends"].into_iter().zip(self.rates());
        rates.filter_map(|(verb, rate)| Some(format!("{verb} {}", bits(rate?.bits)))).collect()
    }

    fn age(&self) -> Option<u64> {
        let made_at = self.record.as_ref().map(|record| record.made_at).filter(|at| *at != 0)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        now.as_secs().checked_sub(made_at)
    }

    pub(super) fn host(&self) -> String {
        self.record.as_ref().and_then(Record::host_link).map(ToString::to_string).unwrap_or_default()
    }

    /// The interface's name inside.
    pub(super) fn ifname(&self) -> &IfName {
        self.record.as_ref().map_or(&self.key.ifname, Record::ifname)
    }

    /// The same, beside the name by which it was attached if that is another.
    fn named(&self) -> String {
        let (is, was) = (self.ifname(), &self.key.ifname);
        if is == was { is.to_string() } else { format!("{is} ({was})") }
    }

    pub(super) fn maker(&self) -> &'static str {
        self.record.as_ref().map_or("", |record| record.maker.face.as_str())
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.key.network.to_string(),
            table::shortened(self.key.container.as_str(), 20),
            self.named(),
            self.host(),
            self.addresses().join(" "),
            self.ports().join(" "),
            self.age().map(age).unwrap_or_default(),
            self.maker().to_owned(),
            self.state.state().word().to_owned(),
        ]
    }

    fn show(&self, out: &mut impl Write) -> Result<()> {
        say(out, format!("{}  {}", self.key, self.state.state().word()))?;
        let rates = self.rates().map(|rate| rate.map_or_else(|| "unlimited".to_owned(), |rate| bits(rate.bits)));
        let counters = self.counters.map(|counters| {
            let Counters { received_bytes, received_packets, sent_bytes, sent_packets } = counters;
            format!(
                "received {received_bytes} bytes in {received_packets} packets, sent {sent_bytes} in {sent_packets}"
            )
        });
        let record = self.record.as_ref();
        let maker = record.map(|record| record.maker.to_string()).unwrap_or_default();
        let lines = [
            (
                "made by",
                format!("{maker}{}", self.age().map(|seconds| format!(", {} ago", age(seconds))).unwrap_or_default()),
            ),
            ("interface", self.named()),
            ("netns", record.map(|record| record.netns.path.clone()).unwrap_or_default()),
            ("host link", self.host()),
            ("addresses", self.addresses().join(", ")),
            ("networks", self.routes().join(", ")),
            ("ports", self.ports().join(", ")),
            ("limits", format!("receives {}, sends {}", rates[0], rates[1])),
            ("traffic", counters.unwrap_or_default()),
        ];
        for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
            say(out, format!("  {name:<10} {value}"))?;
        }
        match &self.state {
            Look::Drifted(missing) => missing.iter().try_for_each(|step| say(out, format!("  missing    {step}"))),
            Look::Unknown(why) => say(out, format!("  error      {why}")),
            Look::Ok | Look::Orphaned => Ok(()),
        }
    }

    fn to_json(&self) -> Value {
        let [received, sent] = self.rates().map(|rate| rate.map(|rate| rate.bits));
        let mut value = json!({
            "attachment": self.key.to_string(),
            "network": self.key.network, "container": self.key.container, "interface": self.ifname(),
            "hostLink": self.host(), "addresses": self.addresses(), "networks": self.routes(), "ports": self.ports(),
            "rates": {"received": received, "sent": sent},
            "age": self.age(), "state": self.state.state().word(),
        });
        if let Some(record) = &self.record {
            value["maker"] = json!(record.maker);
            value["netns"] = json!(record.netns);
        }
        if let Some(counters) = &self.counters {
            value["counters"] = json!({
                "receivedBytes": counters.received_bytes, "receivedPackets": counters.received_packets,
                "sentBytes": counters.sent_bytes, "sentPackets": counters.sent_packets,
            });
        }
        match &self.state {
            Look::Drifted(missing) => value["missing"] = missing.iter().map(ToString::to_string).collect(),
            Look::Unknown(why) => value["error"] = why.clone().into(),
            Look::Ok | Look::Orphaned => {}
        }
        value
    }
}

impl Look {
    /// The same without its particulars.
    pub(super) fn state(&self) -> State {
        match self {
            Self::Ok => State::Ok,
            Self::Drifted(_) => State::Drifted,
            Self::Orphaned => State::Orphaned,
            Self::Unknown(_) => State::Unknown,
        }
    }
}

/// `5s`, `3m`, `7h`, `12d`.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// `20 Mbit/s`.
fn bits(bits: u64) -> String {
    let (unit, name) = [(1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")]
        .into_iter()
        .find(|(unit, _)| bits >= *unit && bits.is_multiple_of(*unit / 10))
        .unwrap_or((1, ""));
    let (whole, tenth) = (bits / unit, if unit == 1 { 0 } else { bits % unit / (unit / 10) });
    if tenth == 0 { format!("{whole} {name}bit/s") } else { format!("{whole}.{tenth} {name}bit/s") }
}
