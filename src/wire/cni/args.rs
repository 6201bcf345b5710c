//! `CNI_ARGS`: `K=V;K2=V2`, deprecated and everywhere.

/// What we use of `CNI_ARGS`, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// `IP`: addresses asked for, with or without prefix length.
    pub ips: Vec<String>,
    /// `MAC`: the MAC of the container's interface.
    pub mac: Option<String>,
}

impl Args {
    /// Reads what we know and passes over the rest. The Go plugins fail on unknown keys unless
    /// `IgnoreUnknown` is given, so `MAC=…` for one plugin of a chain makes another fail, on DEL too:
    /// arguments are hints, and no hint may keep a container from being torn down.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut args = Self::default();
        for (key, value) in text.split(';').filter_map(|pair| pair.split_once('=')) {
            match key {
                "IP" => args.ips.extend(value.split(',').filter(|ip| !ip.is_empty()).map(str::to_owned)),
                "MAC" if !value.is_empty() => args.mac = Some(value.to_owned()),
                _ => {}
            }
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_podman_and_cri_send() {
        let args = Args::parse("IgnoreUnknown=1;K8S_POD_NAME=c1;MAC=02:11:22:33:44:55;IP=10.91.0.77");
        assert_eq!(args.ips, ["10.91.0.77"]);
        assert_eq!(args.mac.as_deref(), Some("02:11:22:33:44:55"));
    }

    #[test]
    fn nonsense_is_passed_over() {
        assert_eq!(Args::parse("x;=;;FOO=BAR;MAC=;a=b=c"), Args::default());
    }
}
