use serde::de::DeserializeOwned;

use super::Cell;
use crate::store::UnixMs;

/// What a table shows of one entry of a list. Fields that are not read here are
/// passed over: a newer server may say more.
pub(in crate::cli) trait Row: DeserializeOwned {
    /// The names of the columns.
    const HEAD: &'static [&'static str];
    /// What the entries are called.
    const NOUN: &'static str;

    /// The cells, as many as there are names.
    fn cells(self, now: UnixMs) -> Vec<Cell>;
}

#[cfg(test)]
pub(in crate::cli::show) mod tests {
    use super::{super::Colours, *};

    fn texts(cells: Vec<Cell>) -> Vec<String> {
        let text = |cell: &Cell| {
            let mut text = String::new();
            cell.write(Colours::No, &mut text);
            text
        };
        cells.iter().map(text).collect()
    }

    pub(in crate::cli::show) fn row<R: Row>(value: serde_json::Value) -> Vec<String> {
        let cells = serde_json::from_value::<R>(value).unwrap().cells(UnixMs(0));
        assert_eq!(cells.len(), R::HEAD.len());
        texts(cells)
    }
}
