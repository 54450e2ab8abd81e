use maud::{Markup, html};

/// One line of a plot.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// Of the style sheet.
    pub(super) class: &'static str,
    /// `None` where there was nothing to measure.
    pub(super) values: Vec<Option<f64>>,
}

/// Lines over time, oldest left, with what matters in words. `per` is what one
/// value is of, `none` what to wait for while there is no line.
pub(super) fn plot(id: &str, title: &str, per: &str, none: &str, series: &[Series]) -> Markup {
    let highest = series.iter().map(Series::highest).fold(0.0, f64::max);
    let enough = series.iter().any(|one| one.known().nth(1).is_some());
    let words: Vec<_> = series.iter().map(Series::words).collect();
    let label = format!("{title}, {per}, the last half hour. {}", words.join("; "));
    html! {
        figure.plot id=(id) {
            figcaption { strong { (title) } " " span.fine { (per) ", the last half hour" } }
            @if enough {
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) preserveAspectRatio="none" {
                    line.axis x1="0" x2=(WIDTH) y1=(HEIGHT - 1.0) y2=(HEIGHT - 1.0) {}
                    @for one in series { polyline class=(one.class) points=(points(&one.values, highest)) {} }
                }
            } @else { p.fine { (none) } }
            ul.legend { @for (one, words) in series.iter().zip(&words) { li class=(one.class) { (words) } } }
        }
    }
}

impl Series {
    fn known(&self) -> impl DoubleEndedIterator<Item = f64> {
        self.values.iter().flatten().copied()
    }

    fn highest(&self) -> f64 {
        self.known().fold(0.0, f64::max)
    }

    fn words(&self) -> String {
        match self.known().next_back() {
            Some(last) => format!("{}: last {}, highest {}", self.name, number(last), number(self.highest())),
            None => format!("{}: nothing yet", self.name),
        }
    }
}

/// What was measured, joined over what was not.
fn points(values: &[Option<f64>], highest: f64) -> String {
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let scale = if highest > 0.0 { (HEIGHT - 6.0) / highest } else { 0.0 };
    let point = |(index, value): (usize, &Option<f64>)| {
        value.map(|value| format!("{:.1},{:.1}", index as f64 * step, HEIGHT - 2.0 - value * scale))
    };
    values.iter().enumerate().filter_map(point).collect::<Vec<_>>().join(" ")
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
        let points =
            |values: &[f64], highest| points(&values.iter().copied().map(Some).collect::<Vec<_>>(), highest);
        assert_eq!(points(&[0.0, 2.0, 1.0], 2.0), "0.0,94.0 300.0,4.0 600.0,49.0");
        assert_eq!(points(&[0.0, 0.0], 0.0), "0.0,94.0 600.0,94.0");
    }

    #[test]
    fn what_was_not_measured_is_left_out_and_told() {
        assert_eq!(points(&[None, Some(2.0), None, Some(1.0)], 2.0), "200.0,4.0 600.0,49.0");
        let drawn = |values: &[Option<f64>]| {
            let series = Series { name: "half", class: "one", values: values.to_vec() };
            plot("id", "Renewals", "milliseconds", "Wait.", &[series]).into_string()
        };
        let line = drawn(&[Some(4.0), None, Some(1.5), None]);
        assert!(
            line.contains("Renewals, milliseconds, the last half hour. half: last 1.5, highest 4\"")
                && line.contains("<polyline"),
            "{line}"
        );
        for none in [&[][..], &[None, None], &[None, Some(1.0)]] {
            let empty = drawn(none);
            assert!(empty.contains("Wait.") && !empty.contains("<svg"), "{empty}");
        }
        assert!(drawn(&[None]).contains("half: nothing yet"));
    }
}
