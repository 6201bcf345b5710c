//! Shapes and texts of an SVG document, in whole pixels.

use std::fmt::Write as _;

use super::text::{cells, xml};

/// A box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// What stands in a box: one line, in a style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) style: Style,
    pub(super) text: String,
}

/// How a text looks; all of a fixed width, so that it is known how long it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// The picture's title.
    Title,
    /// A name.
    Name,
    /// The name of something less important.
    Small,
    /// A fact.
    Fact,
    /// What is to be read last.
    Faint,
    /// What is wrong.
    Wrong,
}

impl Style {
    /// The class and the size of the font.
    fn font(self) -> (&'static str, usize) {
        match self {
            Self::Title => ("title", 20),
            Self::Name => ("name", 14),
            Self::Small => ("small", 12),
            Self::Fact => ("fact", 12),
            Self::Faint => ("faint", 12),
            Self::Wrong => ("wrong", 12),
        }
    }

    /// From one line to the next.
    pub(super) fn leading(self) -> usize {
        self.font().1 + 4
    }

    /// Fonts of fixed width are 0.60 em wide, or a little more: 0.62 is on the safe side.
    pub(super) fn width(self, text: &str) -> usize {
        (cells(text) * self.font().1 * 62).div_ceil(100)
    }

    /// How many columns there are in a width.
    pub(super) fn columns(self, width: usize) -> usize {
        width * 100 / (self.font().1 * 62)
    }
}

/// What has been drawn.
#[derive(Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    /// Begins a group, which people hear and see of by its title.
    pub(super) fn open(&mut self, class: &str, title: &str) {
        let _ = writeln!(self.body, "<g class=\"{class}\"><title>{}</title>", xml(title));
    }

    pub(super) fn close(&mut self) {
        self.body.push_str("</g>\n");
    }

    /// A box; `extra` is further attributes.
    pub(super) fn rect(&mut self, class: &str, rect: Rect, extra: &str) {
        let Rect { x, y, width, height } = rect;
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {extra}/>"
        );
    }

    /// A line of text, of which `y` is the upper edge.
    pub(super) fn text(&mut self, style: Style, x: usize, y: usize, text: &str) {
        let (class, size) = style.font();
        let _ = writeln!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{}\">{}</text>", y + size, xml(text));
    }

    /// Lines of text, one below the other.
    pub(super) fn lines(&mut self, x: usize, y: usize, lines: &[Line]) {
        let mut y = y;
        for line in lines {
            self.text(line.style, x, y, &line.text);
            y += line.style.leading();
        }
    }

    /// A stroke through points.
    pub(super) fn stroke(&mut self, colour: &str, width: usize, dashed: bool, points: &[(usize, usize)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let dash = if dashed { " stroke-dasharray=\"4 4\"" } else { "" };
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dash}/>",
            points.join(" ")
        );
    }

    /// The document.
    pub(super) fn finish(self, width: usize, height: usize, title: &str, description: &str, defs: &str) -> String {
        let (title, description) = (xml(title), xml(description));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" role=\"img\" aria-labelledby=\"title desc\" width=\"{width}\" \
             height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n<title id=\"title\">{title}</title>\n<desc \
             id=\"desc\">{description}</desc>\n{defs}<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// How high lines are.
pub(super) fn height(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.style.leading()).sum()
}
