use std::io::{IsTerminal, stdout};

use super::Cell;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Colours {
    Yes,
    No,
}

impl Colours {
    /// On a terminal, unless NO_COLOR is set (no-color.org).
    pub(in crate::cli) fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if stdout().is_terminal() && wanted { Self::Yes } else { Self::No }
    }
}

/// Columns that line up, with a line of names above them.
#[derive(Debug, Default)]
pub(in crate::cli) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(in crate::cli) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|name| Cell::new(*name)).collect()] }
    }

    pub(in crate::cli) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The text. The last column has no spaces behind it.
    pub(in crate::cli) fn render(&self, colours: Colours) -> String {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            // Spaces are owed, and paid only when something stands behind them.
            let mut owed = 0;
            for (cell, width) in row.iter().zip(&widths) {
                if cell.width() > 0 {
                    text.extend(std::iter::repeat_n(' ', owed));
                    owed = 0;
                    cell.write(colours, &mut text);
                }
                owed += width - cell.width() + GAP;
            }
            text.push('\n');
        }
        text
    }
}

/// Between two columns.
const GAP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_colours_or_without() {
        let mut table = Table::new(&["A", "STATE", "LAST"]);
        table.push(vec![Cell::new("wide cell"), Cell::state("active"), Cell::new("x")]);
        table.push(vec![Cell::new("ä"), Cell::state("revoked"), Cell::new("")]);
        assert_eq!(
            table.render(Colours::No),
            "A          STATE    LAST\nwide cell  active   x\nä          revoked\n"
        );
        let coloured = table.render(Colours::Yes);
        assert!(coloured.contains("\x1b[32mactive\x1b[0m   x\n"), "{coloured:?}");
    }
}
