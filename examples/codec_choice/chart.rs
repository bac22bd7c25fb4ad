//! Size against time, as SVG. A column of marks per codec in its colour, a mark for each transport in its shape. The names stand
//! above, with a line to their column, so that they never lie over each other; columns of nearly one size stand side by side.

use std::fmt::Write;

use crate::measure::transports;
use crate::report::Report;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 730.0;
const TOP: f64 = 120.0;
const BOTTOM: f64 = 400.0;
/// Of a letter of a name.
const LETTER: f64 = 7.5;

/// The least distance of two columns.
const APART: f64 = 12.0;

/// Colours that differ also for those who see fewer.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#444444"];

/// A codec's column.
struct Column<'a> {
    name: &'a str,
    /// Bytes of a message.
    bytes: f64,
    /// Microseconds of a round trip, over each transport.
    times: Vec<f64>,
}

/// Where values are in the picture.
struct Scale {
    bytes: f64,
    /// The ends of the logarithmic axis of time, in powers of ten.
    low: f64,
    high: f64,
}

impl Scale {
    fn new(columns: &[Column<'_>]) -> Self {
        let times = || columns.iter().flat_map(|column| &column.times);
        let (low, high) = times().fold((f64::MAX, f64::MIN), |(low, high), &time| (low.min(time), high.max(time)));
        let bytes = columns.iter().map(|column| column.bytes).fold(1.0, f64::max) * 1.08;
        Self { bytes, low: (low * 0.8).log10(), high: (high * 1.25).log10() }
    }

    fn x(&self, bytes: f64) -> f64 {
        LEFT + bytes / self.bytes * (RIGHT - LEFT)
    }

    fn y(&self, time: f64) -> f64 {
        BOTTOM - (time.log10() - self.low) / (self.high - self.low) * (BOTTOM - TOP)
    }
}

/// Draws the codecs that can carry the sample.
pub(crate) fn draw(report: &Report) -> String {
    let mut columns: Vec<Column<'_>> = report
        .costs()
        .map(|(codec, cost)| Column {
            name: codec.name(),
            bytes: cost.bytes,
            times: cost.trips.iter().map(|trips| 1e6 / trips).collect(),
        })
        .collect();
    columns.sort_by(|one, other| one.bytes.total_cmp(&other.bytes));
    let scale = Scale::new(&columns);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    text(&mut svg, LEFT, 24.0, "start", &report.title());
    legend(&mut svg);
    axes(&mut svg, &scale);
    let name = |column: &Column<'_>| column.name.len() as f64 * LETTER + 12.0;
    let names = places(&columns, &scale, WIDTH - 5.0, name);
    let places = places(&columns, &scale, RIGHT + APART, |_| APART);
    for (number, column) in columns.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        draw_column(&mut svg, &scale, column, colour, [names[number], places[number]]);
    }
    svg + "</svg>\n"
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

fn line(svg: &mut String, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], style: &str) {
    let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>");
}

/// A circle, a square, a triangle or a diamond.
fn mark(svg: &mut String, transport: usize, colour: &str, [x, y]: [f64; 2]) {
    let points: &[(f64, f64)] = match transport % 4 {
        0 => {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>");
            return;
        }
        1 => &[(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)],
        2 => &[(0.0, -6.0), (5.5, 4.5), (-5.5, 4.5)],
        _ => &[(0.0, -6.5), (6.5, 0.0), (0.0, 6.5), (-6.5, 0.0)],
    };
    let points: Vec<String> = points.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
    let _ = writeln!(svg, "<polygon points=\"{}\" fill=\"{colour}\"/>", points.join(" "));
}

fn legend(svg: &mut String) {
    let mut x = LEFT;
    for (transport, (name, _)) in transports().into_iter().enumerate() {
        mark(svg, transport, "#333", [x + 6.0, 44.0]);
        text(svg, x + 18.0, 48.5, "start", name);
        x += 40.0 + name.len() as f64 * LETTER;
    }
}

/// A number for an axis.
fn short(number: f64) -> String {
    match number {
        large if large >= 1e6 => format!("{} M", large / 1e6),
        large if large >= 1e4 => format!("{} k", large / 1e3),
        small => small.to_string(),
    }
}

/// Steps of 1, 2 or 5 that divide `end` into some parts.
fn step(end: f64) -> f64 {
    let power = 10_f64.powf((end / 5.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| end / step <= 6.0).unwrap_or(end)
}

fn axes(svg: &mut String, scale: &Scale) {
    let (grid, axis) = ("stroke=\"#ddd\"", "stroke=\"#333\"");
    let step = step(scale.bytes);
    for bytes in (0..=6).map(|n| f64::from(n) * step).take_while(|bytes| *bytes <= scale.bytes) {
        let x = scale.x(bytes);
        line(svg, [x, TOP], [x, BOTTOM], grid);
        text(svg, x, BOTTOM + 18.0, "middle", &short(bytes));
    }
    for power in scale.low.floor() as i32..=scale.high.ceil() as i32 {
        for factor in [1.0, 2.0, 5.0] {
            let time = factor * 10_f64.powi(power);
            if (scale.low..=scale.high).contains(&time.log10()) {
                let y = scale.y(time);
                line(svg, [LEFT, y], [RIGHT, y], grid);
                text(svg, LEFT - 8.0, y + 4.5, "end", &short(time));
            }
        }
    }
    line(svg, [LEFT, TOP], [LEFT, BOTTOM], axis);
    line(svg, [LEFT, BOTTOM], [RIGHT, BOTTOM], axis);
    text(svg, f64::midpoint(LEFT, RIGHT), BOTTOM + 42.0, "middle", "bytes per message");
    let (x, y) = (22.0, f64::midpoint(TOP, BOTTOM));
    let _ = writeln!(
        svg,
        "<text transform=\"translate({x} {y}) rotate(-90)\" text-anchor=\"middle\">us per round trip, logarithmic</text>"
    );
}

/// Where things of these widths stand: at the sizes of the codecs, but apart from each other and within the picture.
fn places(columns: &[Column<'_>], scale: &Scale, mut end: f64, width: impl Fn(&Column<'_>) -> f64) -> Vec<f64> {
    let mut places: Vec<f64> = columns.iter().map(|column| scale.x(column.bytes)).collect();
    let mut start = LEFT;
    for (place, column) in places.iter_mut().zip(columns) {
        *place = place.max(start + width(column) / 2.0);
        start = *place + width(column) / 2.0;
    }
    for (place, column) in places.iter_mut().zip(columns).rev() {
        *place = place.min(end - width(column) / 2.0);
        end = *place - width(column) / 2.0;
    }
    places
}

fn draw_column(svg: &mut String, scale: &Scale, column: &Column<'_>, colour: &str, [name, x]: [f64; 2]) {
    let thin = format!("stroke=\"{colour}\" stroke-width=\"0.8\"");
    text(svg, name, 84.0, "middle", column.name);
    line(svg, [name, 89.0], [x, TOP - 8.0], &thin);
    let lowest = column.times.iter().map(|time| scale.y(*time)).fold(TOP, f64::max);
    line(svg, [x, TOP - 8.0], [x, lowest], &thin);
    for (transport, time) in column.times.iter().enumerate() {
        mark(svg, transport, colour, [x, scale.y(*time)]);
    }
}
