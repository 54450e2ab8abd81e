use maud::{Markup, html};

/// One line of a plot.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// Of the style sheet.
    pub(super) class: &'static str,
    pub(super) values: Vec<f64>,
}

/// Lines over time, oldest left, with what matters in words. `per` is what one value is of.
pub(super) fn plot(title: &str, per: &str, series: &[Series]) -> Markup {
    let highest = series.iter().flat_map(|one| &one.values).copied().fold(0.0, f64::max);
    let enough = series.iter().any(|one| one.values.len() > 1);
    let words: Vec<_> = series
        .iter()
        .map(|one| {
            let peak = one.values.iter().copied().fold(0.0, f64::max);
            let now = one.values.last().copied().unwrap_or_default();
            format!("{}: now {}, highest {}", one.name, number(now), number(peak))
        })
        .collect();
    let label = format!("{title}, {per}, the last half hour. {}", words.join("; "));
    html! {
        figure.plot {
            figcaption { strong { (title) } " " span.fine { (per) ", the last half hour" } }
            @if enough {
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) preserveAspectRatio="none" {
                    line.axis x1="0" x2=(WIDTH) y1=(HEIGHT - 1.0) y2=(HEIGHT - 1.0) {}
                    @for one in series { polyline class=(one.class) points=(points(&one.values, highest)) {} }
                }
            } @else { p.fine { "A line appears after two looks, ten seconds after the start." } }
            ul.legend { @for (one, words) in series.iter().zip(&words) { li class=(one.class) { (words) } } }
        }
    }
}

fn points(values: &[f64], highest: f64) -> String {
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let scale = if highest > 0.0 { (HEIGHT - 6.0) / highest } else { 0.0 };
    let point = |(index, value): (usize, &f64)| {
        format!("{:.1},{:.1}", index as f64 * step, HEIGHT - 2.0 - value * scale)
    };
    values.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

/// With as many digits as people read.
pub(super) fn number(value: f64) -> String {
    for (least, unit) in [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")] {
        if value >= least {
            let factor = if unit == " k" { 1e3 } else { least };
            return format!("{:.1}{unit}", value / factor);
        }
    }
    if value.fract() == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 96.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (9999.0, "9999"),
            (12_340.0, "12.3 k"),
            (2.5e6, "2.5 M"),
            (0.25, "0.2"),
            (3e9, "3.0 G"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn lines_stay_inside() {
        assert_eq!(points(&[0.0, 2.0, 1.0], 2.0), "0.0,94.0 300.0,4.0 600.0,49.0");
        assert_eq!(points(&[0.0, 0.0], 0.0), "0.0,94.0 600.0,94.0");
    }
}
