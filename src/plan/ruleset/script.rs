//! The ruleset in `nft`'s own words, line by line, as `nft -f` reads it.
//!
//! `kernel::nft` sends the same as messages, in the same order; `tests/behaviour/differential.rs` compares what comes of
//! either.

use super::{Chain, Element, Leads, NetworkChain, Part, Set, TABLE, Table, VERSION};

/// How a rule names the target of a neighbour solicitation or advertisement, by its place.
const BY_PLACE: &str = "@th,64,128";
/// The same by its name: `nft` takes only this in a concatenation, and only since 1.0.8.
const BY_NAME: &str = "icmpv6 taddr";

/// What a line ends in that says of which version a part is: to be taken off where [`is_recent`] lines are left out.
pub(in crate::plan) const IF_WHOLE: &str = "  # if whole";

/// Whether `nft` before 1.0.8 does not know what the line says.
pub(in crate::plan) fn is_recent(line: &str) -> bool {
    line.contains(BY_NAME)
}

impl Part {
    /// The lines that make the part, or make it whole: what is there already keeps its elements.
    #[must_use]
    pub fn script(self) -> Vec<String> {
        let table = self.table();
        let chains = self.chains();
        let rules: Vec<String> = chains.iter().flat_map(|chain| chain.refill(table)).collect();
        let if_whole = if rules.iter().any(|line| is_recent(line)) { IF_WHOLE } else { "" };
        let sets = self.sets().into_iter().map(Set::declaration);
        // Chains without rules first of all: rules lead to them.
        let chains = chains.iter().enumerate().map(|(place, chain)| match place {
            0 => chain.declaration(table, Some(VERSION)) + if_whole,
            _ => chain.declaration(table, None),
        });
        [format!("add table {table} {TABLE}")].into_iter().chain(sets).chain(chains).chain(rules).collect()
    }
}

impl NetworkChain {
    /// The lines that add the chain.
    #[must_use]
    pub fn script(&self) -> Vec<String> {
        let chain = self.chain();
        [chain.declaration(Table::Inet, None)].into_iter().chain(chain.refill(Table::Inet)).collect()
    }

    /// The lines that delete it; refused while elements lead to it.
    #[must_use]
    pub fn removal(&self) -> Vec<String> {
        ["flush", "delete"].map(|verb| format!("{verb} chain {} {TABLE} {}", Table::Inet, self.name)).into()
    }
}

impl Chain {
    fn declaration(&self, table: Table, comment: Option<&str>) -> String {
        let hook = self
            .hook
            .map(|hook| format!("type {} hook {} priority {}; policy accept;", hook.kind, hook.name, hook.priority));
        let comment = comment.map(|comment| format!("comment \"{comment}\";"));
        let settings: Vec<String> = hook.into_iter().chain(comment).collect();
        let settings = if settings.is_empty() { String::new() } else { format!(" {{ {} }}", settings.join(" ")) };
        format!("add chain {table} {TABLE} {}{settings}", self.name)
    }

    /// The rules instead of those that it has. A chain that has none here is another part's to fill.
    fn refill(&self, table: Table) -> Vec<String> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let rules = self.rules.iter().map(|terms| {
            let terms: Vec<String> = terms.iter().map(ToString::to_string).collect();
            format!("add rule {table} {TABLE} {} {}", self.name, terms.join(" ").replace(BY_PLACE, BY_NAME))
        });
        [format!("flush chain {table} {TABLE} {}", self.name)].into_iter().chain(rules).collect()
    }
}

impl Set {
    fn declaration(self) -> String {
        let (table, name) = (self.part().table(), self.name());
        let key: Vec<String> = self.key().iter().map(ToString::to_string).collect();
        let (noun, leads) = match self.leads() {
            Leads::Nowhere => ("set", ""),
            Leads::ToChain => ("map", " : verdict"),
            Leads::ToIpv4 => ("map", " : ipv4_addr . inet_service"),
            Leads::ToIpv6 => ("map", " : ipv6_addr . inet_service"),
        };
        let flags = if self.has_networks() { " flags interval;" } else { "" };
        format!("add {noun} {table} {TABLE} {name} {{ type {}{leads};{flags} }}", key.join(" . "))
    }
}

impl Element {
    /// The line that adds the element, with its owner as comment.
    #[must_use]
    pub fn addition(&self, owner: &str) -> String {
        let comment = format!(" comment \"{owner}\"");
        format!("add element {} {}", self.place(), self.braced(&comment, true))
    }

    /// The line that deletes it.
    #[must_use]
    pub fn removal(&self) -> String {
        format!("delete element {} {}", self.place(), self.braced("", false))
    }
}
