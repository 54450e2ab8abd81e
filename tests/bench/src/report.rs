use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::{Context, Failure};

/// The figures of one part.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

/// One entry of `report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Stable.
    pub(crate) name: String,
    /// Rounded to what the measurement can tell.
    pub(crate) value: f64,
    /// What the value counts, and how it was taken where that is not plain.
    pub(crate) unit: String,
}

#[derive(Debug)]
struct Line {
    figure: Figure,
    goal: Option<Goal>,
}

/// What a figure should be (issue 2, `facts/numbers.md`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Report {
    /// Adds a figure without a goal.
    pub(crate) fn add(&mut self, name: &str, value: f64, unit: impl Into<String>) {
        self.push(name, value, unit.into(), None);
    }

    /// Adds a figure and what it should be.
    pub(crate) fn judge(&mut self, name: &str, value: f64, unit: impl Into<String>, goal: Goal) {
        self.push(name, value, unit.into(), Some(goal));
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let widest =
            |text: fn(&Figure) -> usize| self.lines.iter().map(|line| text(&line.figure)).max().unwrap_or(0);
        let (names, units) = (widest(|f| f.name.len()), widest(|f| f.unit.chars().count()));
        for Line { figure: Figure { name, value, unit }, goal } in &self.lines {
            let goal = goal.map(|goal| goal.verdict(*value)).unwrap_or_default();
            println!("{}", format!("{name:names$}  {value:>12}  {unit:units$}  {goal}").trim_end());
        }
    }

    /// Replaces these names in the file and keeps all others.
    ///
    /// # Errors
    /// The file is no report, or cannot be written.
    pub(crate) fn merge_into(&self, path: &Path) -> Result<(), Failure> {
        let mut figures: Vec<Figure> = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).context(path.display())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).context(path.display()),
        };
        for Line { figure, .. } in &self.lines {
            match figures.iter_mut().find(|old| old.name == figure.name) {
                Some(old) => old.clone_from(figure),
                None => figures.push(figure.clone()),
            }
        }
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).context(directory.display())?;
        }
        let mut text = serde_json::to_string_pretty(&figures).context("the report")?;
        text.push('\n');
        std::fs::write(path, text).context(path.display())
    }

    fn push(&mut self, name: &str, value: f64, unit: String, goal: Option<Goal>) {
        let figure = Figure { name: name.to_owned(), value: rounded(value), unit };
        self.lines.push(Line { figure, goal });
    }
}

impl Goal {
    fn verdict(self, value: f64) -> String {
        let (met, sign, goal) = match self {
            Self::AtLeast(goal) => (value >= goal, '≥', goal),
            Self::AtMost(goal) => (value <= goal, '≤', goal),
        };
        format!("goal {sign} {goal}: {}", if met { "met" } else { "NOT met" })
    }
}

/// Four digits, and no more than the next lower whole number of large values.
fn rounded(value: f64) -> f64 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 6.0);
    let scale = 10_f64.powf(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_four_digits() {
        assert_eq!(
            [0.0, 1.23456, 143.987, 22_931.6, 0.98765].map(rounded),
            [0.0, 1.235, 144.0, 22_932.0, 0.9877]
        );
    }

    #[test]
    fn a_goal_says_whether_it_is_met() {
        assert_eq!(Goal::AtLeast(5.0).verdict(5.0), "goal ≥ 5: met");
        assert_eq!(Goal::AtMost(1.15).verdict(1.2), "goal ≤ 1.15: NOT met");
    }

    #[test]
    fn a_part_replaces_its_own_names_only() {
        let path = std::env::temp_dir().join(format!("countersign-bench-report-{}.json", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let write = |entries: &[(&str, f64)]| {
            let mut report = Report::default();
            entries.iter().for_each(|(name, value)| report.add(name, *value, "µs"));
            report.merge_into(&path).unwrap();
        };
        write(&[("a", 1.0), ("b", 2.0)]);
        write(&[("b", 3.0), ("c", 4.0)]);
        let figures: Vec<Figure> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let found: Vec<_> = figures.iter().map(|f| (f.name.as_str(), f.value)).collect();
        assert_eq!(found, [("a", 1.0), ("b", 3.0), ("c", 4.0)]);
        std::fs::remove_file(&path).unwrap();
    }
}
