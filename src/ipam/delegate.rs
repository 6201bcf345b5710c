//! Delegation to another CNI IPAM plugin: the one place where springline runs another program.
//!
//! CNI 1.1, section 4: the plugin is found on `CNI_PATH`, gets the same environment but for the verb, and
//! the same configuration on stdin.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::error::{Code, Coded, Error, Result};
use crate::kernel::process;
use crate::model::AttachmentKey;
use crate::plan::{Delegation, Record};

/// A plugin to which IPAM is delegated, and all it needs to know.
#[derive(Debug, Clone)]
pub struct Delegate {
    /// How it was or is to be called.
    pub delegation: Delegation,
    /// For whom.
    pub context: DelegateContext,
}

/// For whom a delegate is called.
#[derive(Debug, Clone)]
pub enum DelegateContext {
    /// One attachment, with the path of its namespace.
    Attachment(AttachmentKey, String),
    /// The network as a whole (GC, STATUS).
    Network,
}

/// What a plugin prints when it fails.
#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    details: String,
}

impl Delegate {
    /// The delegate of a recorded attachment: as the caller has it today, if the call is about this attachment
    /// and the plugin is the same; else as it was when it was called first.
    #[must_use]
    pub fn of(record: &Record, today: Option<Self>) -> Option<Self> {
        let recorded = record.delegation.as_ref()?;
        let about_it = |today: &Self| matches!(today.context, DelegateContext::Attachment(..));
        let same = today.filter(|today| about_it(today) && today.delegation.plugin == recorded.plugin);
        let context = || DelegateContext::Attachment(record.key.clone(), record.netns.path.clone());
        Some(same.unwrap_or_else(|| Self { delegation: recorded.clone(), context: context() }))
    }

    /// The plugin's file: the first of its name in the folders of `CNI_PATH`.
    pub fn find(&self) -> Result<PathBuf> {
        let Delegation { plugin, path, .. } = &self.delegation;
        // As libcni's: what is configured is a plugin's name, which leads nowhere but into these folders.
        if plugin.contains('/') {
            return Err(Error::new(Code::InvalidConfig, "a plugin's name has no slash")
                .context(format!("invalid plugin name: {plugin}")));
        }
        let folders = || path.split(':').filter(|folder| !folder.is_empty());
        folders().map(|folder| PathBuf::from(folder).join(plugin)).find(|file| file.is_file()).ok_or_else(|| {
            let all = folders().collect::<Vec<_>>().join(", ");
            Error::new(Code::InvalidConfig, format!("no such file in {all} (CNI_PATH)"))
                .context(format!("IPAM plugin {plugin} not found"))
        })
    }

    /// Runs the plugin for `verb` and returns what it printed.
    #[allow(clippy::disallowed_methods)] // the one exception, see the module's documentation
    pub fn call(&self, verb: &str) -> Result<Vec<u8>> {
        let Delegation { plugin, config, args, path } = &self.delegation;
        let doing = || format!("IPAM plugin {plugin}: {verb}");
        let program = self.find()?;
        let mut command = Command::new(program);
        command.env("CNI_COMMAND", verb).env("CNI_ARGS", args).env("CNI_PATH", path);
        if let DelegateContext::Attachment(key, netns) = &self.context {
            command.env("CNI_CONTAINERID", key.container.as_str()).env("CNI_IFNAME", key.ifname.as_str());
            command.env("CNI_NETNS", netns);
        }
        // Its stderr is ours: free for logs.
        process::die_with_parent(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().coded(Code::Delegate, doing)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A plugin that does not read its configuration (EPIPE) will say why.
            let _ = stdin.write_all(config.as_bytes());
        }
        let output = child.wait_with_output().coded(Code::Delegate, doing)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(failure(plugin, verb, &output.stdout, output.status))
        }
    }
}

fn failure(plugin: &str, verb: &str, stdout: &[u8], status: std::process::ExitStatus) -> Error {
    let Ok(failure) = serde_json::from_slice::<Failure>(stdout) else {
        let printed = String::from_utf8_lossy(stdout);
        return Error::new(Code::Delegate, format!("{status}, and no error that can be read: {:?}", printed.trim()))
            .context(format!("IPAM plugin {plugin}: {verb}"));
    };
    let code = match failure.code {
        1 => Code::IncompatibleVersion,
        3 => Code::UnknownContainer,
        4 => Code::InvalidEnvironment,
        7 => Code::InvalidConfig,
        11 => Code::TryAgainLater,
        50 => Code::Unavailable,
        51 => Code::LimitedConnectivity,
        _ => Code::Delegate,
    };
    let details = if failure.details.is_empty() { String::new() } else { format!("; {}", failure.details) };
    Error::new(code, format!("{}{details} (code {})", failure.msg, failure.code))
        .context(format!("IPAM plugin {plugin}: {verb}"))
}

impl Error {
    /// Whether a delegate is merely too old for a verb that is about no container: it does not know it, or not
    /// the version that has it, or asks for the container's id (`host-local` 1.1, code 3).
    #[must_use]
    pub fn is_unknown_verb(&self) -> bool {
        matches!(self.code, Code::IncompatibleVersion | Code::UnknownContainer)
            || (self.code == Code::InvalidEnvironment && self.details().contains("unknown CNI_COMMAND"))
    }
}
