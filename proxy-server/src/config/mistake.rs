use std::{cell::RefCell, fmt, io, ops::Range, path::Path, path::PathBuf};

/// Everything wrong with one configuration file, in the order it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// The file.
    pub path: PathBuf,
    /// At least one.
    pub list: Vec<Mistake>,
}

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line and column, both from 1; `None` when the file could not be read.
    /// What is missing is placed where it should have been added.
    pub position: Option<(usize, usize)>,
    /// The field, as `workload[0].lease.min_seconds`; empty for TOML syntax.
    pub field: String,
    /// What was expected and what was there.
    pub message: String,
}

impl Mistakes {
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let message = format!("cannot read the file: {error}");
        Self { path: path.into(), list: vec![Mistake { position: None, field: String::new(), message }] }
    }

    pub(super) fn incomplete(path: &Path) -> Self {
        let message = "the file was not understood".to_owned();
        Self { path: path.into(), list: vec![Mistake { position: None, field: String::new(), message }] }
    }
}

/// One line for each mistake: `countersign.toml:3:9: listen.gateway: expected …; found …`.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}", self.path.display())?;
            if let Some((line, column)) = mistake.position {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {mistake}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistakes {}

/// Where mistakes go while a file is read. Shared by all readers of one file.
#[derive(Debug, Default)]
pub(super) struct Collector(RefCell<Vec<(Range<usize>, String, String)>>);

impl Collector {
    /// Notes one mistake at a byte range of the file.
    pub(super) fn note(&self, span: Range<usize>, field: impl Into<String>, message: impl Into<String>) {
        self.0.borrow_mut().push((span, field.into(), message.into()));
    }

    pub(super) fn into_mistakes(self, path: &Path, text: &str) -> Option<Mistakes> {
        let mut found = self.0.into_inner();
        found.sort_by_key(|(span, ..)| span.start);
        let place = |(span, field, message): (Range<usize>, String, String)| Mistake {
            position: Some(position(text, span.start)),
            field,
            message,
        };
        let list: Vec<_> = found.into_iter().map(place).collect();
        if list.is_empty() { None } else { Some(Mistakes { path: path.into(), list }) }
    }
}

/// Line and column of a byte offset; columns count characters, as editors do.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}
