//! Figures of a Prometheus registry, as OpenTelemetry shapes them.
//!
//! The one thing that a registry of `prometheus-client` gives of itself is its text
//! (OpenMetrics 1.0). So that is read: text that this process wrote a moment ago, and
//! still nothing is taken that was not understood.

use std::fmt;

use super::model::{Distribution, Figure, Labels, Metric, Number, Points};

/// Reads the text of a registry.
///
/// Names stay as they are, but a counter's has no `_total`; that is how OpenTelemetry's
/// own translation to Prometheus gets the names back. The unit is the one that the name
/// ends in.
///
/// # Errors
/// [`Unread`] with the first line that is not understood.
pub fn read(text: &str) -> Result<Vec<Metric>, Unread> {
    let mut metrics: Vec<Metric> = Vec::new();
    let mut help: Option<(&str, &str)> = None;
    for (index, line) in text.lines().enumerate() {
        let unread = Unread { line: index + 1 };
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').ok_or(unread)?;
            let description = match help.take() {
                Some((of, text)) if of == name => unescaped(text),
                _ => String::new(),
            };
            let points = match kind {
                "counter" => Points::Counter(Vec::new()),
                "gauge" | "info" | "unknown" => Points::Gauge(Vec::new()),
                "histogram" => Points::Histogram(Vec::new()),
                _ => return Err(unread),
            };
            metrics.push(Metric { name: name.to_owned(), description, unit: unit(name), points });
        } else if !line.starts_with('#') && !line.is_empty() {
            let sample = Sample::read(line).ok_or(unread)?;
            metrics.last_mut().and_then(|metric| metric.take(sample)).ok_or(unread)?;
        }
    }
    Ok(metrics)
}

/// A line that is no OpenMetrics, or of a kind that OTLP has no shape for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Counted from one.
    pub line: usize,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the registry's text is not understood", self.line)
    }
}

impl std::error::Error for Unread {}

struct Sample<'l> {
    name: &'l str,
    labels: Labels,
    value: &'l str,
}

impl<'l> Sample<'l> {
    /// `name{label="value",…} value`
    fn read(line: &'l str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = Labels::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, quoted) = rest.split_once("=\"")?;
                let end = closing_quote(quoted)?;
                labels.push((label.to_owned(), unescaped(&quoted[..end])));
                rest = &quoted[end + 1..];
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
            rest = &rest[1..];
        }
        let value = rest.strip_prefix(' ')?;
        // No exemplars and no times: this program writes none.
        (!value.contains(' ')).then_some(Self { name, labels, value })
    }
}

impl Metric {
    /// Puts a sample where it belongs; `None` if it is none of this metric's.
    fn take(&mut self, sample: Sample<'_>) -> Option<()> {
        let suffix = sample.name.strip_prefix(self.name.as_str())?;
        match (&mut self.points, suffix) {
            (Points::Counter(numbers), "_total") | (Points::Gauge(numbers), "" | "_info") => {
                numbers.push(Number { labels: sample.labels, value: figure(sample.value)? });
            }
            (Points::Histogram(all), "_bucket") => {
                let mut labels = sample.labels;
                let le = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1)?;
                let one = of_labels(all, labels);
                // The text counts what is below a bound, OTLP what is between two.
                let below: u64 = one.counts.iter().sum();
                one.counts.push(sample.value.parse::<u64>().ok()?.checked_sub(below)?);
                if le != "+Inf" {
                    one.bounds.push(le.parse().ok()?);
                }
            }
            (Points::Histogram(all), "_sum") => {
                of_labels(all, sample.labels).sum = sample.value.parse().ok()?
            }
            // The sum of the buckets.
            (Points::Histogram(_), "_count") => {}
            _ => return None,
        }
        Some(())
    }
}

fn of_labels(all: &mut Vec<Distribution>, labels: Labels) -> &mut Distribution {
    let at = all.iter().position(|one| one.labels == labels).unwrap_or_else(|| {
        all.push(Distribution { labels, sum: 0.0, bounds: Vec::new(), counts: Vec::new() });
        all.len() - 1
    });
    &mut all[at]
}

fn figure(text: &str) -> Option<Figure> {
    text.parse().map(Figure::Int).or_else(|_| text.parse().map(Figure::Double)).ok()
}

fn closing_quote(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.bytes().position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    })
}

/// `\\`, `\"` and `\n` as what they stand for.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    plain
}

/// In UCUM. Nothing for a plain count: `1` would make a Prometheus behind a collector call it a ratio.
fn unit(name: &str) -> &'static str {
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some("ratio") => "1",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_kind_has_its_shape() {
        let text = "# HELP bytes What \\\"went\\\".\n# TYPE bytes counter\n# UNIT bytes bytes\n\
                    bytes_total{d=\"up\",w=\"a\\\"b,c}\\\\\"} 7\nbytes_total{d=\"down\"} 1.5\n\
                    # HELP age_seconds How old.\n# TYPE age_seconds gauge\nage_seconds -2.5\n\
                    # TYPE took_seconds histogram\n\
                    took_seconds_sum{r=\"x\"} 1.25\ntook_seconds_count{r=\"x\"} 5\n\
                    took_seconds_bucket{le=\"0.1\",r=\"x\"} 3\ntook_seconds_bucket{le=\"1.0\",r=\"x\"} 3\n\
                    took_seconds_bucket{le=\"+Inf\",r=\"x\"} 5\n\
                    took_seconds_sum{r=\"y\"} 0.0\ntook_seconds_bucket{le=\"+Inf\",r=\"y\"} 0\n# EOF\n";
        let number = |pairs: &[_], value| Number { labels: labels(pairs), value };
        assert_eq!(
            read(text).unwrap(),
            [
                Metric {
                    name: "bytes".to_owned(),
                    description: "What \"went\".".to_owned(),
                    unit: "By",
                    points: Points::Counter(vec![
                        number(&[("d", "up"), ("w", "a\"b,c}\\")], Figure::Int(7)),
                        number(&[("d", "down")], Figure::Double(1.5)),
                    ]),
                },
                Metric {
                    name: "age_seconds".to_owned(),
                    description: "How old.".to_owned(),
                    unit: "s",
                    points: Points::Gauge(vec![number(&[], Figure::Double(-2.5))]),
                },
                Metric {
                    name: "took_seconds".to_owned(),
                    description: String::new(),
                    unit: "s",
                    points: Points::Histogram(vec![
                        Distribution {
                            labels: labels(&[("r", "x")]),
                            sum: 1.25,
                            bounds: vec![0.1, 1.0],
                            counts: vec![3, 0, 2],
                        },
                        Distribution {
                            labels: labels(&[("r", "y")]),
                            sum: 0.0,
                            bounds: vec![],
                            counts: vec![0]
                        },
                    ]),
                },
            ]
        );
    }

    #[test]
    fn what_is_not_understood_is_not_taken() {
        for (text, line) in [
            ("a 1\n", 1),
            ("# TYPE a summary\n", 1),
            ("# TYPE a\n", 1),
            ("# TYPE a gauge\nb 1\n", 2),
            ("# TYPE a gauge\na x\n", 2),
            ("# TYPE a gauge\na 1 1700000000\n", 2),
            ("# TYPE a gauge\na{x=\"1} 1\n", 2),
            ("# TYPE a counter\na 1\n", 2),
            ("# TYPE a histogram\na_bucket 1\n", 2),
            ("# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n", 3),
        ] {
            assert_eq!(read(text), Err(Unread { line }), "{text}");
        }
    }
}
