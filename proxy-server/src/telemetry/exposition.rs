//! The text that every Prometheus reads (format 0.0.4).
//!
//! `prometheus-client` writes OpenMetrics 1.0, whose sample lines are the same. What
//! differs: a counter's description there names the family, and here the sample,
//! with `_total`; and there the text has an end mark and units.

/// From OpenMetrics 1.0 to 0.0.4.
pub(super) fn classic(open_metrics: &str) -> String {
    let mut classic = String::with_capacity(open_metrics.len() + 1024);
    // The type stands behind the help, and decides what both are called.
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some((name, text)) = described(line, "# HELP ") {
            help = Some((name, text));
        } else if let Some((name, kind)) = described(line, "# TYPE ") {
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some((of, text)) = help.take()
                && of == name
            {
                classic.push_str(&format!("# HELP {name}{total} {text}\n"));
            }
            classic.push_str(&format!("# TYPE {name}{total} {kind}\n"));
        } else if !line.starts_with('#') {
            classic.push_str(line);
            classic.push('\n');
        }
    }
    classic
}

fn described<'l>(line: &'l str, mark: &str) -> Option<(&'l str, &'l str)> {
    line.strip_prefix(mark)?.split_once(' ')
}

/// `Content-Type` of it.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_of_their_samples() {
        let open = "# HELP a_bytes What went.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{d=\"up\"} 7\n\
                    # HELP b How many.\n# TYPE b gauge\nb 1\n# EOF\n";
        assert_eq!(
            classic(open),
            "# HELP a_bytes_total What went.\n# TYPE a_bytes_total counter\na_bytes_total{d=\"up\"} 7\n\
             # HELP b How many.\n# TYPE b gauge\nb 1\n"
        );
    }
}
