use std::io::{self, Write};

use super::line::{ChainLine, End, ExportHeader, FORMAT, HeadLine, HeaderLine, LONGEST, Line, Row, VERSION};
use crate::audit::{AuditPublicKey, ChainName, Checkpoint, Event, Head};

/// Writes an export. What is dropped before [`Self::finish`] reads as cut off.
#[derive(Debug)]
pub struct ExportWriter<W> {
    out: W,
    line: Vec<u8>,
    lines: u64,
}

impl<W: Write> ExportWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What `out` says; so do all others.
    pub fn new(out: W, header: &ExportHeader) -> io::Result<Self> {
        let ExportHeader { deployment, epoch, at } = header;
        let (format, deployment) = (FORMAT.to_owned(), deployment.as_str().to_owned());
        let header = HeaderLine { format, version: VERSION, deployment, epoch: *epoch, at: *at };
        let mut writer = Self { out, line: Vec::new(), lines: 0 };
        writer.put(&Line::Header(header))?;
        Ok(writer)
    }

    /// A key that signed checkpoints, so that a reader can find it by its id.
    ///
    /// # Errors
    /// What `out` says.
    pub fn key(&mut self, key: &AuditPublicKey) -> io::Result<()> {
        self.put(&Line::Key(*key))
    }

    /// Begins a chain; `anchor` when retention has dropped its first rows.
    ///
    /// # Errors
    /// What `out` says.
    pub fn chain(&mut self, chain: ChainName, anchor: Option<&Checkpoint>) -> io::Result<()> {
        self.put(&Line::Chain(ChainLine { chain, anchor: anchor.cloned() }))
    }

    /// The next row of a chain that was begun.
    ///
    /// # Errors
    /// What `out` says, and `InvalidData` for a row that is longer than a reader takes.
    pub fn row(&mut self, chain: ChainName, seq: u64, event: &Event, hash: [u8; 32]) -> io::Result<()> {
        self.put(&Line::Row(Box::new(Row::new(chain, seq, event, hash))))
    }

    /// A checkpoint, behind its row and before the next.
    ///
    /// # Errors
    /// What `out` says.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        self.put(&Line::Checkpoint(Box::new(checkpoint.clone())))
    }

    /// A chain's stored head.
    ///
    /// # Errors
    /// What `out` says.
    pub fn head(&mut self, chain: ChainName, head: Head) -> io::Result<()> {
        self.put(&Line::Head(HeadLine { chain, seq: head.seq, hash: head.hash }))
    }

    /// Writes the last line and gives `out` back, flushed.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(&Line::End(End { lines: self.lines }))?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// What it writes to: whoever streams takes out what is there.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn put(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        if self.line.len() as u64 > LONGEST {
            let why = format!("an audit line of {} bytes, expected at most {LONGEST}", self.line.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        self.out.write_all(&self.line)?;
        self.lines += 1;
        Ok(())
    }
}
