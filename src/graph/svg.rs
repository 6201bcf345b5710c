//! The picture as an SVG document: no browser, no graphviz, no fonts or scripts from elsewhere.
//!
//! The host is above, its networks are bands below, hung on one trunk. In a band, containers stand in rows of cards, each
//! below the host's end of its pair, which hangs on a rail: a thin double one is the host's routing, a thick one the bridge. Sizes of
//! letters are fixed, so that 60 containers make the picture longer and not harder to read.

use super::canvas::{Canvas, Line, Rect, Style, height};
use super::text::{fill_at_most, shortened};
use super::{Bridge, HostLink, Interface, Network, Scene, State, elsewhere};

/// Around everything.
const MARGIN: usize = 20;
/// Between the trunk's middle and the bands, and between bands.
const GAP: usize = 18;
/// Inside boxes.
const PAD: usize = 10;
/// A card's width; five of them and what is around make less than 1600.
const CARD: usize = 284;
/// The most cards of a row.
const COLUMNS: usize = 5;
/// The least, so that the host has room.
const LEAST_COLUMNS: usize = 3;
/// From a band's edge to its first card: there the rails begin.
const INDENT: usize = 40;
/// The height of a band's head.
const HEAD: usize = 34;
/// From a rail to the host's ends that hang on it, and from there to the cards.
const DROP: usize = 16;
/// Lines of addresses, routes, ports or missing things before it is told how many more there are.
const MANY: usize = 5;

/// The colours of networks: those of Okabe and Ito, which the colour-blind tell apart, in an order in which neighbours
/// differ in grey, too.
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#007a5a", "#cc79a7", "#56b4e9", "#a84300", "#5c5c5c"];

/// The patterns at the left of bands. Their number and that of the colours have no common divisor: 35 networks differ.
const HATCHES: [&str; 5] = ["", "M0 0L8 8", "M0 4H8", "M4 0V8", "M0 8L8 0M0 0L8 8"];

const STYLE: &str = "<style>
text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace;fill:#1c2530}
.title{font-size:20px;font-weight:bold}.name{font-size:14px;font-weight:bold}
.small{font-size:12px;font-weight:bold}.fact{font-size:12px}.faint{font-size:12px;fill:#5a6672}
.wrong{font-size:12px;fill:#8a2d00}
.paper{fill:#f6f7f9}.host{fill:#e4e8ed;stroke:#1c2530;stroke-width:2}
.link,.plug,.bridge,.card{fill:#fff}.link{stroke:#5a6672}
.card.drifted{fill:#fff4d6}.card.orphaned,.card.unknown{fill:#e2e2e2}
.badge{fill:#fff;stroke:#8a949e}.badge.drifted{fill:#ffd35c;stroke:#8a5a00}.badge.orphaned,.badge.unknown{fill:#fff;stroke:#1c2530;stroke-width:2}
</style>
";

/// The colour of the network with this number.
pub(super) fn colour(network: usize) -> &'static str {
    COLOURS[network % COLOURS.len()]
}

/// Draws the scene.
#[must_use]
pub fn svg(scene: &Scene) -> String {
    let most = scene.networks.iter().map(|network| network.interfaces.len()).max().unwrap_or(0);
    let columns = most.max(scene.links.len()).clamp(LEAST_COLUMNS, COLUMNS);
    let inner = columns * CARD + (columns - 1) * DROP;
    let band = inner + INDENT + DROP;
    let width = band + GAP + 2 * MARGIN;
    let mut drawing = Drawing { canvas: Canvas::default(), scene, columns, band, y: MARGIN };
    drawing.host();
    let trunk_begin = drawing.y;
    let mut trunk_end = trunk_begin;
    for (number, network) in scene.networks.iter().enumerate() {
        drawing.y += GAP;
        trunk_end = drawing.y + HEAD / 2;
        drawing.network(number, network);
    }
    if trunk_end > trunk_begin {
        drawing.canvas.stroke("#1c2530", 3, false, &[(MARGIN + 4, trunk_begin), (MARGIN + 4, trunk_end)]);
    }
    drawing.legend();
    let height = drawing.y + MARGIN;
    let title = format!("host {}: {}", scene.host, scene.summary());
    let description = super::tree(scene, super::Charset::Unicode);
    drawing.canvas.finish(width, height, &title, &description, &format!("{STYLE}{}", hatches(scene.networks.len())))
}

fn hatches(networks: usize) -> String {
    let pattern = |number: usize| {
        format!(
            "<pattern id=\"hatch{number}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><rect width=\"8\" \
             height=\"8\" fill=\"{}\"/><path d=\"{}\" stroke=\"#fff\" stroke-width=\"1.5\" fill=\"none\"/></pattern>\n",
            colour(number),
            HATCHES[number % HATCHES.len()]
        )
    };
    format!("<defs>\n{}</defs>\n", (0..networks).map(pattern).collect::<String>())
}

/// The picture, drawn from above to below.
struct Drawing<'a> {
    canvas: Canvas,
    scene: &'a Scene,
    columns: usize,
    /// The width of a band.
    band: usize,
    /// Down to where it is drawn.
    y: usize,
}

impl Drawing<'_> {
    /// The host with its links.
    fn host(&mut self) {
        let width = self.band + GAP;
        let inner = width - 2 * PAD;
        let boxes: Vec<Vec<Line>> = self.scene.links.iter().map(link_lines).collect();
        let per_row = (inner + PAD) / (CARD + PAD);
        let rows: Vec<&[Vec<Line>]> = boxes.chunks(per_row.max(1)).collect();
        let heights: Vec<usize> = rows.iter().map(|row| tallest(row.iter().map(Vec::as_slice)) + 2 * PAD).collect();
        let head = PAD + Style::Title.leading() + Style::Fact.leading() + PAD;
        let total = head + heights.iter().map(|height| height + PAD).sum::<usize>();
        let panel = Rect { x: MARGIN, y: self.y, width, height: total };
        self.canvas.open("hostbox", &format!("host {}", self.scene.host));
        self.canvas.rect("host", panel, "rx=\"8\"");
        let name = shortened(&format!("host {}", self.scene.host), Style::Title.columns(inner));
        self.canvas.text(Style::Title, MARGIN + PAD, self.y + PAD, &name);
        let summary = shortened(&self.scene.summary(), Style::Fact.columns(inner));
        self.canvas.text(Style::Fact, MARGIN + PAD, self.y + PAD + Style::Title.leading(), &summary);
        let mut y = self.y + head;
        let mut links = self.scene.links.iter();
        for (row, height) in rows.iter().zip(&heights) {
            for (at, (lines, link)) in row.iter().zip(links.by_ref()).enumerate() {
                let rect = Rect { x: MARGIN + PAD + at * (CARD + PAD), y, width: CARD, height: *height };
                self.canvas.open("linkbox", &format!("{} ({})", link.name, link.kind));
                self.canvas.rect("link", rect, "rx=\"4\"");
                self.canvas.lines(rect.x + PAD, y + PAD, lines);
                self.canvas.close();
            }
            y += height + PAD;
        }
        self.canvas.close();
        self.y += total;
    }

    /// A band.
    fn network(&mut self, number: usize, network: &Network) {
        let colour = colour(number);
        let (x, top) = (MARGIN + GAP, self.y);
        let several = self.scene.several();
        let cards: Vec<Card<'_>> = network
            .interfaces
            .iter()
            .map(|interface| Card::new(interface, &elsewhere(&several, network, interface)))
            .collect();
        let rows: Vec<Row<'_, '_>> = cards.chunks(self.columns).map(Row::new).collect();
        let bridge = network.carrier.bridge().map(|bridge| bridge_lines(bridge, self.band - INDENT - 2 * PAD));
        let bridge_height = bridge.as_ref().map_or(0, |lines| height(lines) + 2 * PAD);
        let total = HEAD + bridge_height + rows.iter().map(Row::height).sum::<usize>();
        let band = Rect { x, y: top, width: self.band, height: total };
        self.canvas.open("network", &format!("network {}: {}", network.name, network.description().join(", ")));
        self.canvas.rect("band", band, &format!("rx=\"6\" fill=\"{colour}\" fill-opacity=\"0.1\" stroke=\"{colour}\""));
        let strip = Rect { x, y: top, width: PAD, height: total };
        self.canvas.rect("strip", strip, &format!("fill=\"url(#hatch{number})\""));
        self.canvas.stroke("#1c2530", 3, false, &[(MARGIN + 4, top + HEAD / 2), (x, top + HEAD / 2)]);
        self.head(network, x + 2 * PAD, top + PAD);
        // The rails: thick and full for a bridge, with a white middle for the host's own routing.
        let rail = Rail { colour, is_bridge: bridge.is_some() };
        let mut y = top + HEAD + bridge_height;
        // Routing runs down beside the strip, left of the names; a bridge begins in its box.
        let (joint, rail_x, begin) = match bridge {
            Some(_) => (x + INDENT - 12, x + INDENT - 12, top + HEAD + PAD),
            None => (x + PAD, x + PAD + 5, top + HEAD / 2),
        };
        let mut rails = Vec::new();
        let mut row_tops = Vec::new();
        for row in &rows {
            let last = x + INDENT + (row.cards.len() - 1) * (CARD + DROP) + PAD + 8;
            rails.push(vec![(joint, begin), (rail_x, begin), (rail_x, y + 4), (last, y + 4)]);
            row_tops.push(y + 4);
            y += row.height();
        }
        rail.draw(&mut self.canvas, &rails);
        if let Some(lines) = &bridge {
            let widest = lines.iter().map(|line| line.style.width(&line.text)).max().unwrap_or(0);
            let rect =
                Rect { x: rail_x - 8, y: top + HEAD, width: (widest + 2 * PAD).max(120), height: height(lines) + PAD };
            let name = network.carrier.bridge().map_or("", |bridge| bridge.name.as_str());
            self.canvas.open("bridgebox", &format!("bridge {name}"));
            self.canvas.rect("bridge", rect, &format!("rx=\"4\" stroke=\"{colour}\" stroke-width=\"3\""));
            self.canvas.lines(rect.x + PAD, rect.y + PAD / 2, lines);
            self.canvas.close();
        }
        for (row, top) in rows.iter().zip(row_tops) {
            for (at, card) in row.cards.iter().enumerate() {
                card.draw(&mut self.canvas, row, colour, x + INDENT + at * (CARD + DROP), top);
            }
        }
        self.canvas.close();
        self.y += total;
    }

    /// A band's name and what is to be known of it.
    fn head(&mut self, network: &Network, x: usize, y: usize) {
        let room = self.band - 4 * PAD;
        let name = shortened(&network.name, 40);
        self.canvas.text(Style::Name, x, y, &name);
        let used = Style::Name.width(&name) + 2 * PAD;
        let count = match network.interfaces.len() {
            1 => "1 interface".to_owned(),
            count => format!("{count} interfaces"),
        };
        let words: Vec<String> = network.description().into_iter().chain([count]).collect();
        let facts = shortened(&words.join(" · "), Style::Fact.columns(room.saturating_sub(used)));
        self.canvas.text(Style::Fact, x + used, y + 2, &facts);
    }

    /// What the lines mean.
    fn legend(&mut self) {
        self.y += GAP;
        let mut x = MARGIN;
        let entries = [
            (Some(false), "routed: a link of its own to which the host routes"),
            (Some(true), "bridged: a port of the bridge"),
            (None, "dashed: no packets pass"),
        ];
        for (kind, text) in entries {
            let y = self.y + 9;
            let points = vec![(x, y), (x + 30, y)];
            match kind {
                Some(is_bridge) => Rail { colour: "#5c5c5c", is_bridge }.draw(&mut self.canvas, &[points]),
                None => self.canvas.stroke("#5c5c5c", 2, true, &points),
            }
            self.canvas.text(Style::Faint, x + 38, self.y, text);
            x += 38 + Style::Faint.width(text) + 2 * PAD;
        }
        self.y += Style::Faint.leading();
    }
}

/// What the host's ends hang on.
struct Rail {
    colour: &'static str,
    is_bridge: bool,
}

impl Rail {
    fn draw(&self, canvas: &mut Canvas, lines: &[Vec<(usize, usize)>]) {
        for points in lines {
            canvas.stroke(self.colour, if self.is_bridge { 8 } else { 5 }, false, points);
        }
        // The white middles last, so that no line crosses another's.
        for points in lines.iter().filter(|_| !self.is_bridge) {
            canvas.stroke("#fff", 2, false, points);
        }
    }
}

/// Cards side by side, all as high as the highest.
struct Row<'a, 'b> {
    cards: &'a [Card<'b>],
    plug: usize,
    card: usize,
}

impl<'a, 'b> Row<'a, 'b> {
    fn new(cards: &'a [Card<'b>]) -> Self {
        let plug = tallest(cards.iter().map(|card| card.plug.as_slice())) + PAD;
        let card = tallest(cards.iter().map(|card| card.lines.as_slice())) + 2 * PAD;
        Self { cards, plug, card }
    }

    fn height(&self) -> usize {
        4 + DROP + self.plug + DROP + self.card + GAP
    }
}

/// A container's interface and the host's end of its pair.
struct Card<'a> {
    interface: &'a Interface,
    plug: Vec<Line>,
    lines: Vec<Line>,
}

impl<'a> Card<'a> {
    fn new(interface: &'a Interface, elsewhere: &[String]) -> Self {
        let room = CARD - 2 * PAD;
        let fact = |style: Style, items: &[String], separator: &str| {
            let lines = fill_at_most(items, separator, style.columns(room), MANY);
            lines.into_iter().map(move |text| Line { style, text })
        };
        let with = |word: &str, items: &[String]| -> Vec<String> {
            Some(format!("{word} {}", items.join(", "))).filter(|_| !items.is_empty()).into_iter().collect()
        };
        let badge = badge_width(interface.state) + PAD;
        let name = shortened(&interface.container, Style::Name.columns(room - badge));
        let mut lines = vec![Line { style: Style::Name, text: name }];
        let maker = Some(format!("by {}", interface.maker)).filter(|_| !interface.maker.is_empty());
        let about: Vec<String> =
            [interface.name.clone()].into_iter().chain(maker).chain(interface.limits.iter().cloned()).collect();
        lines.extend(fact(Style::Faint, &about, " · "));
        lines.extend(fact(Style::Fact, &interface.addresses, "  "));
        lines.extend(fact(Style::Faint, &with("gateway", &interface.gateways), "  "));
        let routes: Vec<String> = interface.routes.iter().map(|route| format!("route {route}")).collect();
        lines.extend(fact(Style::Faint, &routes, "  "));
        let ports: Vec<String> = interface.ports.iter().map(|port| format!("port {port}")).collect();
        lines.extend(fact(Style::Small, &ports, "  "));
        lines.extend(fact(Style::Faint, &with("also", elsewhere), "  "));
        let missing: Vec<String> = interface.missing.iter().map(|what| format!("missing {what}")).collect();
        lines.extend(fact(Style::Wrong, &missing, "; "));
        let end = &interface.host;
        let mut plug = vec![Line { style: Style::Small, text: shortened(&end.name, Style::Small.columns(room)) }];
        plug.extend(
            Some(end.remark())
                .filter(|remark| !remark.is_empty())
                .map(|remark| Line { style: Style::Wrong, text: remark.to_owned() }),
        );
        let routes: Vec<String> = end.routes.iter().map(|route| format!("→ {route}")).collect();
        plug.extend(fact(Style::Faint, &routes, "  "));
        Self { interface, plug, lines }
    }

    /// Draws it below the rail at `rail`.
    fn draw(&self, canvas: &mut Canvas, row: &Row<'_, '_>, colour: &str, x: usize, rail: usize) {
        let Self { interface, .. } = self;
        let state = interface.state.word();
        let drop = x + PAD + 8;
        let plug = Rect { x, y: rail + DROP, width: CARD, height: row.plug };
        let card = Rect { x, y: plug.y + row.plug + DROP, width: CARD, height: row.card };
        let dashed = !interface.host.is_connected();
        canvas.open("container", &self.title());
        canvas.stroke(if dashed { "#5c5c5c" } else { colour }, 3, dashed, &[(drop, rail), (drop, plug.y)]);
        let gone = dashed || matches!(interface.state, State::Orphaned);
        canvas.stroke(if gone { "#5c5c5c" } else { colour }, 3, gone, &[(drop, plug.y + row.plug), (drop, card.y)]);
        canvas.rect("plug", plug, &format!("rx=\"3\" stroke=\"{colour}\""));
        canvas.lines(x + PAD, plug.y + PAD / 2, &self.plug);
        let border = match interface.state {
            State::Ok => format!("stroke=\"{colour}\" stroke-width=\"2\""),
            State::Drifted => "stroke=\"#8a5a00\" stroke-width=\"3\"".to_owned(),
            State::Orphaned | State::Unknown => "stroke=\"#1c2530\" stroke-width=\"2\" stroke-dasharray=\"6 4\"".into(),
        };
        canvas.rect(&format!("card {state}"), card, &format!("rx=\"6\" {border}"));
        canvas.lines(x + PAD, card.y + PAD, &self.lines);
        let width = badge_width(interface.state);
        let badge = Rect { x: x + CARD - width - 8, y: card.y + 8, width, height: 20 };
        canvas.rect(&format!("badge {state}"), badge, "rx=\"10\"");
        canvas.text(Style::Small, badge.x + 8, badge.y + 2, state);
        canvas.close();
    }

    /// All of it, for those who ask by pointing at the card.
    fn title(&self) -> String {
        let Interface { container, name, host, addresses, ports, .. } = self.interface;
        let facts = [addresses.as_slice(), &host.addresses, &host.routes, ports, &self.interface.missing];
        let words = ["addresses", "host's addresses", "host's routes", "ports", "missing"];
        let told = words.iter().zip(facts).filter(|(_, facts)| !facts.is_empty());
        let told: Vec<String> = told.map(|(word, facts)| format!("; {word}: {}", facts.join(", "))).collect();
        format!("{container}, {name}, {}{}", self.interface.state.word(), told.concat())
    }
}

fn badge_width(state: State) -> usize {
    Style::Small.width(state.word()) + 16
}

fn link_lines(link: &HostLink) -> Vec<Line> {
    let columns = Style::Fact.columns(CARD - 2 * PAD);
    let down = if link.up { "" } else { ", down" };
    let mut lines =
        vec![Line { style: Style::Small, text: shortened(&format!("{} ({}{down})", link.name, link.kind), columns) }];
    let facts = [(Style::Fact, &link.addresses), (Style::Faint, &link.routes)];
    for (style, items) in facts {
        let texts = fill_at_most(items, "  ", columns, MANY);
        lines.extend(texts.into_iter().map(|text| Line { style, text }));
    }
    lines
}

fn bridge_lines(bridge: &Bridge, room: usize) -> Vec<Line> {
    let remark = bridge.presence.remark();
    let head = if remark.is_empty() { Vec::new() } else { vec![format!("({remark})")] };
    let items: Vec<String> =
        [format!("bridge {}", bridge.name)].into_iter().chain(head).chain(bridge.addresses.iter().cloned()).collect();
    let ports: Vec<String> = bridge.other_ports.iter().map(|port| format!("port {port}")).collect();
    let of = |style: Style, items: &[String]| {
        let texts = fill_at_most(items, "  ", style.columns(room), MANY);
        texts.into_iter().map(move |text| Line { style, text })
    };
    of(Style::Small, &items).chain(of(Style::Faint, &ports)).collect()
}

fn tallest<'a>(boxes: impl Iterator<Item = &'a [Line]>) -> usize {
    boxes.map(height).max().unwrap_or(0)
}
