use serde_json::{Map, Value, json};

use super::words::Output;
use crate::store::{MeasurementRow, SessionRow, UnixMs};

/// `measurement list`.
pub(super) fn measurements(rows: &[MeasurementRow], output: Output) -> String {
    match output {
        Output::Json => lines(rows.iter().map(|row| {
            let MeasurementRow { workload, name, version, state, epoch, pcrs, reason, .. } = row;
            let pcrs: Map<String, Value> =
                pcrs.iter().map(|(index, value)| (index.to_string(), value.to_string().into())).collect();
            json!({
                "workload": workload, "name": name, "version": version, "state": state.as_str(),
                "epoch": epoch.0, "pcrs": pcrs, "reason": reason,
            })
        })),
        Output::Table => table(
            ["MEASUREMENT", "VERSION", "STATE", "EPOCH", "PCR0"],
            rows.iter().map(|row| {
                let pcr0 = row.pcrs.iter().next().map(|(_, value)| value.to_string()).unwrap_or_default();
                [
                    format!("{}/{}", row.workload, row.name),
                    row.version.clone().unwrap_or_else(|| "-".to_owned()),
                    row.state.to_string(),
                    row.epoch.to_string(),
                    pcr0.chars().take(16).chain(['…']).collect(),
                ]
            }),
        ),
    }
}

/// `session list`.
pub(super) fn sessions(rows: &[SessionRow], now: UnixMs, output: Output) -> String {
    match output {
        Output::Json => lines(rows.iter().map(|row| {
            let SessionRow {
                id,
                key,
                workload,
                measurement,
                boot_id,
                sequence,
                lease,
                lease_ends,
                epoch,
                module_id,
                replica: _,
                admitted: _,
            } = row;
            json!({
                "session": id.to_string(), "workload": workload, "measurement": measurement,
                "key": key.to_string(), "boot_id": boot_id.to_string(), "sequence": sequence,
                "lease_seconds": lease.as_secs(), "lease_ends": lease_ends.to_string(), "epoch": epoch.0,
                "module_id": module_id,
            })
        })),
        Output::Table => table(
            ["SESSION", "WORKLOAD", "MEASUREMENT", "LEASE LEFT", "EPOCH"],
            rows.iter().map(|row| {
                [
                    row.id.to_string(),
                    row.workload.clone(),
                    row.measurement.clone(),
                    format!("{} s", row.lease_ends.since(now) / 1000),
                    row.epoch.to_string(),
                ]
            }),
        ),
    }
}

/// A JSON list with one entry a line: for programs, and for grep.
fn lines(entries: impl Iterator<Item = Value>) -> String {
    let entries: Vec<String> = entries.map(|entry| format!("  {entry}")).collect();
    if entries.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", entries.join(",\n")) }
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let all: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &all {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_json_is_json() {
        let text = table(["A", "LONG"], [["wide cell".to_owned(), "x".to_owned()]].into_iter());
        assert_eq!(text, "A          LONG\nwide cell  x\n");
        assert_eq!(lines(std::iter::empty()), "[]\n");
        let two = lines([json!(1), json!(2)].into_iter());
        assert_eq!(serde_json::from_str::<Vec<u8>>(&two).unwrap(), [1, 2]);
    }
}
