//! Lines over time, drawn as SVG.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 16.0;
/// Lines across that are labelled.
const LINES: u32 = 4;

/// A line of one value a second.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) colour: &'a str,
    pub(super) values: Vec<f64>,
}

/// A chart of these lines from 0 up.
pub(super) fn chart(title: &str, lines: &[Line<'_>]) -> String {
    let most = lines.iter().flat_map(|line| &line.values).copied().fold(0.0, f64::max);
    let top = round_up(most);
    let seconds = lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
         <text x=\"{LEFT}\" y=\"12\" class=\"title\">{title}</text>\n"
    );
    for nth in 0..=LINES {
        let value = top * f64::from(nth) / f64::from(LINES);
        let y = y_of(value, top);
        // Writing into a string can't fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{WIDTH}\" y2=\"{y:.1}\" class=\"grid\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(value)
        );
    }
    let right = HEIGHT - 8.0;
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{right}\">0 s</text>");
    let _ =
        writeln!(svg, "<text x=\"{WIDTH}\" y=\"{right}\" text-anchor=\"end\">{seconds} s</text>");
    for (nth, line) in (0u32..).zip(lines) {
        let points: Vec<String> =
            (0..).zip(&line.values).map(|(at, value)| point(at, seconds, *value, top)).collect();
        let (colour, name) = (line.colour, line.name);
        let x = LEFT + 110.0 * f64::from(nth) + 180.0;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" stroke=\"{colour}\"/>\
             <text x=\"{x}\" y=\"12\" fill=\"{colour}\">{name}</text>",
            points.join(" ")
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn y_of(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top
}

fn point(at: u32, seconds: usize, value: f64, top: f64) -> String {
    let last = seconds.saturating_sub(1).max(1) as f64;
    let x = LEFT + (WIDTH - LEFT) * f64::from(at) / last;
    format!("{x:.1},{:.1}", y_of(value, top))
}

/// The next of 1, 2, 4, 5, 10, 20, … that is not below.
fn round_up(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    let step = [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().find(|step| step * power >= most);
    step.unwrap_or(10.0) * power
}

fn short(value: f64) -> String {
    match value {
        large if large >= 1e6 => format!("{:.1} M", large / 1e6),
        large if large >= 1e4 => format!("{:.0} k", large / 1e3),
        small if small < 10.0 && small > 0.0 => format!("{small:.1}"),
        other => format!("{other:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_holds_the_highest_value_and_half_of_it_is_used() {
        for most in [0.3, 1.0, 1.1, 7.0, 10.0, 250.0, 99_999.0, 123_456.0] {
            let top = round_up(most);
            assert!(top >= most && top <= most * 2.5, "{most}: {top}");
        }
        assert_eq!(round_up(0.0), 1.0);
    }

    #[test]
    fn the_highest_value_is_at_the_top_and_the_last_second_at_the_right() {
        let values = vec![0.0, 50.0, 100.0];
        let svg = chart("x", &[Line { name: "a", colour: "red", values }]);
        let low = HEIGHT - BOTTOM;
        let first = format!("points=\"{LEFT:.1},{low:.1} ");
        let last = format!("{WIDTH:.1},{TOP:.1}\"");
        assert!(svg.contains(&first) && svg.contains(&last), "{svg}");
    }
}
