//! What every plot is drawn with: marks, a canvas of pixels, scales, labels that keep out of each other's way. Colours are fixed marks that
//! the style sheet of `html` turns into light or dark ones; lines differ in dashes and markers too, so that plots read without colour.

use crate::html::{Cell, escape};
use crate::text::grouped;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Marks: the style sheet gives each a light and a dark colour.
pub(crate) const INK: RGBColor = RGBColor(1, 1, 1);
pub(crate) const GRID: RGBColor = RGBColor(2, 2, 2);
pub(crate) const FIRST: RGBColor = RGBColor(3, 3, 3);
pub(crate) const SECOND: RGBColor = RGBColor(4, 4, 4);
pub(crate) const ALARM: RGBColor = RGBColor(5, 5, 5);
pub(crate) const SOFT: RGBColor = RGBColor(6, 6, 6);
pub(crate) const THIRD: RGBColor = RGBColor(7, 7, 7);
pub(crate) const INNER: RGBColor = RGBColor(8, 8, 8);
pub(crate) const FOURTH: RGBColor = RGBColor(9, 9, 9);
/// Shades of a map, from little to much: they differ in lightness, so that they read in grey.
pub(crate) const SHADES: [RGBColor; 7] = [
    RGBColor(16, 16, 0),
    RGBColor(16, 16, 1),
    RGBColor(16, 16, 2),
    RGBColor(16, 16, 3),
    RGBColor(16, 16, 4),
    RGBColor(16, 16, 5),
    RGBColor(16, 16, 6),
];

/// Width of every plot; the style sheet fits it to the page.
pub(crate) const WIDTH: i32 = 960;
/// Plotters counts it in its own way: this comes out as some 14 pixels.
const FONT: i32 = 17;
/// Numbers on a vertical axis, about.
const TICKS: usize = 5;
/// Mean width of a letter of that font, a little generous.
const LETTER: f64 = 7.4;

pub(crate) type Failed = Box<dyn std::error::Error>;
pub(crate) type Drawn = Result<(), Failed>;

/// A picture, its title, and the figures it was drawn from.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) title: String,
    /// The SVG, or a paragraph that says why there is none.
    pub(crate) body: String,
    pub(crate) data: Option<Data>,
}

/// A table.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Figure {
    /// With the figures behind it.
    pub(crate) fn with(self, header: impl IntoIterator<Item = impl Into<String>>, rows: Vec<Vec<Cell>>) -> Self {
        let header = header.into_iter().map(Into::into).collect();
        Self { data: (!rows.is_empty()).then_some(Data { header, rows }), ..self }
    }
}

/// Gives an SVG a role and a name for those who cannot see it.
fn named(svg: String, title: &str, description: &str) -> String {
    let (title, description) = (escape(title), escape(description));
    let head = format!("<svg role=\"img\" aria-label=\"{title}: {description}\" ");
    let body = svg.replacen("<svg ", &head, 1);
    match body.find('>') {
        Some(end) => format!("{}><title>{title}</title><desc>{description}</desc>{}", &body[..end], &body[end + 1..]),
        None => body,
    }
}

/// A picture; should it fail, a paragraph that says so.
pub(crate) fn draw(
    title: &str,
    description: &str,
    height: i32,
    paint: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn,
) -> Figure {
    let mut svg = String::new();
    let painted = {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        paint(&area).and_then(|()| area.present().map_err(Into::into))
    };
    let body = match painted {
        Ok(()) => named(svg, title, description),
        Err(error) => format!("<p>It could not be drawn: {}</p>", escape(&error.to_string())),
    };
    Figure { title: title.to_owned(), body, data: None }
}

/// What stands where a plot would, when there is nothing to see.
pub(crate) fn nothing(title: &str) -> Figure {
    unknown(title, "There is nothing to draw.")
}

/// What stands where a plot would, when it cannot be known.
pub(crate) fn unknown(title: &str, why: &str) -> Figure {
    Figure { title: title.to_owned(), body: format!("<p>{}</p>", escape(why)), data: None }
}

/// Shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Disc,
    Ring,
    Square,
    Triangle,
    Cross,
}

/// How a line is broken: the style sheet knows the lengths, so that a line stays one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dash {
    Even,
    Dots,
    Long,
    Wide,
}

impl Dash {
    const fn mark(self) -> u8 {
        match self {
            Self::Even => 0xa1,
            Self::Dots => 0xa2,
            Self::Long => 0xa3,
            Self::Wide => 0xa4,
        }
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pen {
    pub(crate) colour: RGBColor,
    /// None is solid.
    pub(crate) dash: Option<Dash>,
    pub(crate) marker: Option<Marker>,
}

/// Pens that differ in colour, dash and marker.
pub(crate) const PENS: [Pen; 5] = [
    Pen { colour: FIRST, dash: None, marker: Some(Marker::Disc) },
    Pen { colour: SECOND, dash: Some(Dash::Even), marker: Some(Marker::Square) },
    Pen { colour: THIRD, dash: Some(Dash::Dots), marker: Some(Marker::Triangle) },
    Pen { colour: ALARM, dash: Some(Dash::Long), marker: Some(Marker::Cross) },
    Pen { colour: FOURTH, dash: Some(Dash::Wide), marker: Some(Marker::Ring) },
];

/// From values to pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) from: i32,
    pub(crate) to: i32,
}

impl Scale {
    /// Over all values given, with a little room at both ends; `None` when none is finite.
    pub(crate) fn over(values: impl IntoIterator<Item = f64>, from: i32, to: i32) -> Option<Self> {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let room = if high > low { (high - low) * 0.05 } else { high.abs().max(1.0) * 0.1 };
        (low <= high).then_some(Self { low: low - room, high: high + room, from, to })
    }

    /// The pixel of a value.
    pub(crate) fn at(&self, value: f64) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        (f64::from(self.from) + share * f64::from(self.to - self.from)).round() as i32
    }

    /// Round values to write on an axis, about `count` of them, and how.
    pub(crate) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let raw = (self.high - self.low) / count as f64;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw).unwrap_or(raw);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).map(|v| (v, tick(v, decimals))).collect()
    }
}

/// A value as an axis has it: digits in threes, and a minus as wide as they are.
fn tick(value: f64, decimals: usize) -> String {
    grouped(&format!("{value:.decimals$}")).replace('-', "−")
}

/// Pixels left of a vertical axis: its numbers stand there, and left of them its name.
pub(crate) fn room_left(vertical: &Scale) -> i32 {
    const LEAST: i32 = 72;
    let numbers = vertical.ticks(TICKS).iter().map(|(_, label)| width_of(label)).max().unwrap_or(0);
    LEAST.max(34 + numbers)
}

/// Where a text is held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hold {
    Left,
    Middle,
    Right,
}

/// Pixels a text is wide, nearly.
pub(crate) fn width_of(text: &str) -> i32 {
    (text.chars().count() as f64 * LETTER).ceil() as i32
}

/// A drawing area with words for what plots are made of; all in pixels.
pub(crate) struct Canvas<'a, 'b>(pub(crate) &'a DrawingArea<SVGBackend<'b>, Shift>);

impl Canvas<'_, '_> {
    /// Text, centred on its line.
    pub(crate) fn text(&self, at: (i32, i32), hold: Hold, text: &str) -> Drawn {
        let side = match hold {
            Hold::Left => HPos::Left,
            Hold::Middle => HPos::Center,
            Hold::Right => HPos::Right,
        };
        let style = TextStyle::from(("sans-serif", FONT)).color(&INK).pos(Pos::new(side, VPos::Center));
        self.0.draw(&Text::new(text.to_owned(), at, style))?;
        Ok(())
    }

    /// Text from bottom to top, for an axis on the left.
    pub(crate) fn upright(&self, at: (i32, i32), text: &str) -> Drawn {
        let font = ("sans-serif", FONT).into_font().transform(FontTransform::Rotate270);
        let style = TextStyle::from(font).color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
        self.0.draw(&Text::new(text.to_owned(), at, style))?;
        Ok(())
    }

    /// A line through points.
    pub(crate) fn line(&self, points: &[(i32, i32)], colour: RGBColor, width: u32) -> Drawn {
        self.0.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width)))?;
        Ok(())
    }

    /// A line as its pen has it, without markers.
    pub(crate) fn stroke(&self, points: &[(i32, i32)], pen: Pen) -> Drawn {
        let RGBColor(red, green, blue) = pen.colour;
        self.line(points, RGBColor(red, green, pen.dash.map_or(blue, Dash::mark)), 2)
    }

    /// A filled rectangle.
    pub(crate) fn block(&self, corners: [(i32, i32); 2], colour: RGBColor) -> Drawn {
        self.0.draw(&Rectangle::new(corners, colour.filled()))?;
        Ok(())
    }

    /// The outline of a rectangle.
    pub(crate) fn frame(&self, corners: [(i32, i32); 2], colour: RGBColor, width: u32) -> Drawn {
        self.0.draw(&Rectangle::new(corners, colour.stroke_width(width)))?;
        Ok(())
    }

    /// A filled shape.
    pub(crate) fn area(&self, points: &[(i32, i32)], colour: RGBColor) -> Drawn {
        self.0.draw(&Polygon::new(points.to_vec(), colour.filled()))?;
        Ok(())
    }

    /// A point.
    pub(crate) fn marker(&self, at: (i32, i32), marker: Marker, colour: RGBColor) -> Drawn {
        match marker {
            Marker::Disc => self.0.draw(&Circle::new(at, 4, colour.filled()))?,
            Marker::Ring => {
                self.0.draw(&Circle::new(at, 4, WHITE.filled()))?;
                self.0.draw(&Circle::new(at, 4, colour.stroke_width(2)))?;
            }
            Marker::Square => {
                self.0.draw(&Rectangle::new([(at.0 - 4, at.1 - 4), (at.0 + 4, at.1 + 4)], colour.filled()))?;
            }
            Marker::Triangle => self.0.draw(&TriangleMarker::new(at, 6, colour.filled()))?,
            Marker::Cross => self.0.draw(&Cross::new(at, 4, colour.stroke_width(2)))?,
        }
        Ok(())
    }

    /// Grid, ticks and name of a horizontal axis whose numbers stand under `bottom`.
    pub(crate) fn x_axis(&self, scale: &Scale, ticks: &[(f64, String)], top: i32, bottom: i32, name: &str) -> Drawn {
        for (value, label) in ticks {
            let x = scale.at(*value);
            self.line(&[(x, top), (x, bottom)], GRID, 1)?;
            self.text((x, bottom + 15), Hold::Middle, label)?;
        }
        self.text(((scale.from + scale.to) / 2, bottom + 34), Hold::Middle, name)
    }

    /// Grid, ticks and name of a vertical axis whose numbers stand left of `left`.
    pub(crate) fn y_axis(&self, scale: &Scale, left: i32, right: i32, name: &str) -> Drawn {
        for (value, label) in scale.ticks(TICKS) {
            let y = scale.at(value);
            self.line(&[(left, y), (right, y)], GRID, 1)?;
            self.text((left - 6, y), Hold::Right, &label)?;
        }
        self.upright((12, (scale.from + scale.to) / 2), name)
    }
}

/// Places near those wanted, in their order given, at least `gap` apart and not below `bottom`.
pub(crate) fn spread(wanted: &[i32], gap: i32, bottom: i32) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|i| wanted[*i]);
    let mut placed = wanted.to_vec();
    for pair in order.windows(2) {
        placed[pair[1]] = placed[pair[1]].max(placed[pair[0]] + gap);
    }
    let mut lowest = bottom;
    for i in order.into_iter().rev() {
        placed[i] = placed[i].min(lowest);
        lowest = placed[i] - gap;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance() {
        assert_eq!(spread(&[50, 10, 52, 51], 16, 500), [50, 10, 82, 66]);
        assert_eq!(spread(&[98, 99], 16, 100), [84, 100], "pushed up from the foot");
    }

    #[test]
    fn ticks_are_round() {
        let said: Vec<String> =
            Scale { low: 0.13, high: 1.02, from: 0, to: 100 }.ticks(5).into_iter().map(|t| t.1).collect();
        assert_eq!(said, ["0.2", "0.4", "0.6", "0.8", "1.0"]);
        let said: Vec<String> =
            Scale { low: -60_000.0, high: 110_000.0, from: 0, to: 100 }.ticks(4).into_iter().map(|t| t.1).collect();
        assert_eq!(said, ["−50,000", "0", "50,000", "100,000"]);
    }

    #[test]
    fn a_plot_has_a_role_and_safe_names() {
        let svg = draw("<a>", "b & c", 40, |area| Canvas(area).text((5, 5), Hold::Left, "<script>"));
        let svg = svg.body;
        assert!(svg.contains("role=\"img\"") && svg.contains("<title>&lt;a&gt;</title><desc>b &amp; c</desc>"));
        assert!(!svg.contains("<script>"), "{svg}");
    }
}
