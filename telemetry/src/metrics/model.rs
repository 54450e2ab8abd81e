/// Asked for all figures, every interval and once more at the end.
pub trait Source: Send + 'static {
    /// As they stand now. Must not wait: it is called where other telemetry is sent.
    fn read(&self) -> Vec<Metric>;
}

/// Nothing is measured.
impl Source for () {
    fn read(&self) -> Vec<Metric> {
        Vec::new()
    }
}

impl<F: Fn() -> Vec<Metric> + Send + 'static> Source for F {
    fn read(&self) -> Vec<Metric> {
        self()
    }
}

/// One thing that is measured, in all its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Without the suffixes that Prometheus adds: no `_total`, no unit.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// As UCUM writes it: `s`, `By`, `1`.
    pub unit: &'static str,
    /// How it stands.
    pub points: Points,
}

/// How it stands, once for each set of labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Points {
    /// Only grows, counted since the process began.
    Counter(Vec<Number>),
    /// Goes up and down.
    Gauge(Vec<Number>),
    /// Counted by size, since the process began.
    Histogram(Vec<Distribution>),
}

/// Names and values.
pub type Labels = Vec<(String, String)>;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// Which part.
    pub labels: Labels,
    /// How much.
    pub value: Figure,
}

/// A whole number where it is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// Whole.
    Int(i64),
    /// Any.
    Double(f64),
}

/// One histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Which part.
    pub labels: Labels,
    /// Of all that was observed.
    pub sum: f64,
    /// Upper bounds of the buckets, each included; the last bucket has none.
    pub bounds: Vec<f64>,
    /// How many fell in each bucket: one more than `bounds`.
    pub counts: Vec<u64>,
}
