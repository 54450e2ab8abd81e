use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{BufRead, Read},
};

use countersign_protocol::{Deployment, Epoch};

use super::{
    error::ExportError,
    line::{ChainLine, End, FORMAT, HeadLine, HeaderLine, LONGEST, Line, VERSION},
};
use crate::audit::{ChainCheck, ChainName, Finding, Head, Known, Report, TrustedKeys, Verification};

/// Checks the audit in an export, line by line, in memory that grows with the chains and not with the rows.
///
/// Only `trusted` keys count, whatever keys the file names; `known` is what replicas noted outside of the database.
///
/// # Errors
/// [`ExportError`] for a file that is no export. One that is cut off, even inside of a line, is a finding.
pub fn verify_export(
    reader: impl BufRead,
    trusted: &TrustedKeys,
    known: &[Known],
) -> Result<Report, ExportError> {
    let mut lines = Lines { reader, bytes: Vec::new(), number: 0 };
    let epoch = match lines.next()? {
        Next::Line(line) => header(line)?,
        Next::Cut { .. } => return Err(ExportError::Empty),
    };
    let mut chains = Chains { verification: Verification::new(trusted, known), open: BTreeMap::new() };
    loop {
        let line = match lines.next()? {
            Next::Line(line) => line,
            Next::Cut { whole } => return Ok(chains.cut(epoch, whole)),
        };
        if let Some(End { lines: expected }) = chains.take(lines.number, line)? {
            let actual = lines.number - 1;
            lines.nothing_more()?;
            return Ok(chains.finish(epoch, expected, actual));
        }
    }
}

fn header(line: Line<'_>) -> Result<Epoch, ExportError> {
    let Line::Header(header) = line else {
        return Err(ExportError::Misplaced { line: 1, what: name(&line), expected: "the header" });
    };
    let HeaderLine { format, version, deployment, epoch, at: _ } = header;
    if format != FORMAT || version != VERSION {
        return Err(ExportError::OtherFormat { format: printable(&format), version });
    }
    match deployment.parse::<Deployment>() {
        Ok(_) => Ok(epoch),
        Err(error) => Err(ExportError::Junk { line: 1, problem: error.to_string() }),
    }
}

struct Chains<'a> {
    verification: Verification<'a>,
    open: BTreeMap<ChainName, (ChainCheck<'a>, Option<Head>)>,
}

impl<'a> Chains<'a> {
    /// Takes any line but the first. Gives the last one back.
    fn take(&mut self, number: u64, line: Line<'_>) -> Result<Option<End>, ExportError> {
        match line {
            Line::Header(_) => {
                let (what, expected) = (name(&line), "any other line");
                return Err(ExportError::Misplaced { line: number, what, expected });
            }
            Line::Key(_) => {}
            Line::Chain(begun) => self.begin(number, &begun)?,
            Line::Row(row) => {
                let (chain, seq, event, hash) = row.into_event();
                self.begun(number, chain)?.0.row(seq, &event, hash);
            }
            Line::Checkpoint(checkpoint) => {
                self.begun(number, checkpoint.chain)?.0.checkpoint(&checkpoint);
            }
            Line::Head(head) => self.head(number, &head)?,
            Line::End(end) => return Ok(Some(end)),
        }
        Ok(None)
    }

    fn begin(&mut self, line: u64, begun: &ChainLine) -> Result<(), ExportError> {
        let ChainLine { chain, anchor } = begun;
        if self.open.len() >= MOST_CHAINS {
            return Err(ExportError::TooManyChains { line, limit: MOST_CHAINS });
        }
        match self.open.entry(*chain) {
            Entry::Vacant(place) => {
                place.insert((self.verification.chain(*chain, anchor.as_ref()), None));
                Ok(())
            }
            Entry::Occupied(_) => Err(ExportError::Twice { line, chain: *chain, what: "the beginning" }),
        }
    }

    fn head(&mut self, line: u64, head: &HeadLine) -> Result<(), ExportError> {
        let place = &mut self.begun(line, head.chain)?.1;
        match place.replace(head.head()) {
            None => Ok(()),
            Some(_) => Err(ExportError::Twice { line, chain: head.chain, what: "the head" }),
        }
    }

    fn begun(
        &mut self,
        line: u64,
        chain: ChainName,
    ) -> Result<&mut (ChainCheck<'a>, Option<Head>), ExportError> {
        self.open.get_mut(&chain).ok_or(ExportError::NotBegun { line, chain })
    }

    fn finish(mut self, epoch: Epoch, expected: u64, actual: u64) -> Report {
        for (_, (check, head)) in self.open {
            self.verification.add(check.finish(head));
        }
        if expected != actual {
            self.verification.find(Finding::ExportLines { expected, actual });
        }
        self.verification.finish(epoch)
    }

    /// Says nothing about the end of a chain whose head has not come.
    fn cut(mut self, epoch: Epoch, lines: u64) -> Report {
        for (_, (check, head)) in self.open {
            self.verification.add(match head {
                Some(head) => check.finish(Some(head)),
                None => check.abandon(),
            });
        }
        self.verification.finish_cut(epoch, lines)
    }
}

/// Lines with a bound on their length.
struct Lines<R> {
    reader: R,
    bytes: Vec<u8>,
    /// Of the line read last, from 1.
    number: u64,
}

enum Next {
    Line(Line<'static>),
    /// The end, or a line without its end.
    Cut {
        whole: u64,
    },
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Next, ExportError> {
        let whole = self.number;
        self.number += 1;
        let line = self.number;
        self.fill()?;
        if self.bytes.len() as u64 > LONGEST {
            return Err(ExportError::TooLong { line });
        }
        if self.bytes.last() != Some(&b'\n') {
            return Ok(Next::Cut { whole });
        }
        serde_json::from_slice(&self.bytes)
            .map(Next::Line)
            .map_err(|error| ExportError::Junk { line, problem: printable(&error.to_string()) })
    }

    fn nothing_more(&mut self) -> Result<(), ExportError> {
        self.number += 1;
        self.fill()?;
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(ExportError::Misplaced { line: self.number, what: "behind the last", expected: "nothing" })
    }

    fn fill(&mut self) -> Result<(), ExportError> {
        self.bytes.clear();
        let mut bounded = self.reader.by_ref().take(LONGEST + 1);
        let read = bounded.read_until(b'\n', &mut self.bytes);
        read.map(drop).map_err(|source| ExportError::Read { line: self.number, source })
    }
}

fn name(line: &Line<'_>) -> &'static str {
    match line {
        Line::Header(_) => "a header",
        Line::Key(_) => "a key",
        Line::Chain(_) => "a chain",
        Line::Row(_) => "a row",
        Line::Checkpoint(_) => "a checkpoint",
        Line::Head(_) => "a head",
        Line::End(_) => "the end",
    }
}

/// Foreign text for a terminal: no control characters, and not much of it.
fn printable(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

/// Every start of a replica can make one; these are some years of restarts.
const MOST_CHAINS: usize = 16_384;
