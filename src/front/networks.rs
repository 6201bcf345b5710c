//! Networks by name: one definition for every face, in `/etc/cni/net.d`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::definition::Definition;
use crate::error::{Code, Coded, Error, Result};
use crate::exec;
use crate::model::{Network, NetworkName};
use crate::wire::cni::{Config, NetworkFile, RuntimeConfig};

/// Where the definitions are, unless `$NETCONFPATH` says otherwise.
const FOLDER: &str = "/etc/cni/net.d";

/// The folder with the definitions.
#[must_use]
pub fn folder() -> PathBuf {
    let chosen = std::env::var_os("NETCONFPATH").filter(|folder| !folder.is_empty());
    chosen.map_or_else(|| PathBuf::from(FOLDER), PathBuf::from)
}

/// springline's configuration of the network called `name`: that of the first file, by file name, that defines it.
pub fn configuration(name: &NetworkName) -> Result<Map<String, Value>> {
    let folder = folder();
    let (mut others, mut unreadable) = (Vec::new(), Vec::new());
    for path in files(&folder)? {
        match read(&path) {
            Ok(file) if file.name() == Some(name.as_str()) => {
                let doing = format!("network {name}, defined in {}", path.display());
                return file.own_configuration().map_err(|error| error.context(doing));
            }
            Ok(file) => others.extend(file.name().map(str::to_owned)),
            Err(error) => unreadable.push(format!("{:#}", error.source)),
        }
    }
    let there = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
    let error = Error::new(Code::InvalidConfig, format!("networks there: {there}"))
        .context(format!("no network {name} is defined in {}", folder.display()));
    Err(unreadable.into_iter().fold(error, |error, why| error.hint(format!("not readable: {why}"))))
}

/// All networks of springline's that are defined, and the files that define none because of what is wrong in them, with
/// why. Of networks whose lists have other plugins, too, springline's part.
#[must_use]
pub fn defined() -> (Vec<Network>, Vec<(String, String)>) {
    let (mut networks, mut unreadable) = (Vec::<Network>::new(), Vec::new());
    // No folder: no networks.
    for path in files(&folder()).unwrap_or_default() {
        match read(&path).and_then(|file| file.part_of_springline().map(|own| network(&own)).transpose()) {
            // The first file that defines a name is the one that counts.
            Ok(Some(network)) if networks.iter().any(|there| there.name == network.name) => {}
            Ok(network) => networks.extend(network),
            Err(error) => unreadable.push((path.display().to_string(), format!("{:#}", error.source))),
        }
    }
    (networks, unreadable)
}

fn network(configuration: &Map<String, Value>) -> Result<Network> {
    let base = Definition::new(configuration)?.base;
    Config::parse(&base)?.to_network(&base.name, &RuntimeConfig::default(), &exec::host_seed()?)
}

/// springline's configuration in one file, wherever it is.
pub fn configuration_in(path: &Path) -> Result<Map<String, Value>> {
    let own = read(path)?.own_configuration();
    own.map_err(|error| error.context(path.display().to_string()))
}

/// The files that libcni would look at, in the same order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let doing = || format!("read the definitions of networks in {}", folder.display());
    let entries = fs::read_dir(folder).coded(Code::Io, doing)?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let is_definition = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json"))
    };
    files.retain(is_definition);
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<NetworkFile> {
    let doing = || path.display().to_string();
    let text = fs::read(path).coded(Code::Io, doing)?;
    NetworkFile::parse(&text).map_err(|error| error.context(doing()))
}
