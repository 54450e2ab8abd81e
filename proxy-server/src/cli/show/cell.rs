use std::borrow::Cow;

use super::Colours;

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Cell {
    text: String,
    paint: Paint,
}

/// What a cell means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Paint {
    Plain,
    /// It admits, it lives.
    Good,
    /// It waits for somebody.
    Waiting,
    /// It refuses, it is gone.
    Bad,
}

impl Cell {
    pub(in crate::cli) fn new(text: impl Into<String>) -> Self {
        Self { text: safe(text.into()), paint: Paint::Plain }
    }

    /// A dash for what is not there.
    pub(in crate::cli) fn maybe(text: Option<impl Into<String>>) -> Self {
        text.map_or_else(|| Self::new("-"), Self::new)
    }

    /// A state of anything, in its colour.
    pub(in crate::cli) fn state(word: &str) -> Self {
        let paint = match word {
            "active" | "live" | "in force" => Paint::Good,
            "pending" | "waiting" | "stale" => Paint::Waiting,
            "revoked" | "gone" | "stopped" | "expired" => Paint::Bad,
            _ => Paint::Plain,
        };
        Self { paint, ..Self::new(word) }
    }

    /// Columns of the terminal, as far as one character is one of them.
    pub(super) fn width(&self) -> usize {
        self.text.chars().count()
    }

    pub(super) fn write(&self, colours: Colours, to: &mut String) {
        let code = match (colours, self.paint) {
            (Colours::No, _) | (_, Paint::Plain) => return to.push_str(&self.text),
            (Colours::Yes, Paint::Good) => "32",
            (Colours::Yes, Paint::Waiting) => "33",
            (Colours::Yes, Paint::Bad) => "31",
        };
        to.push_str("\x1b[");
        to.push_str(code);
        to.push('m');
        to.push_str(&self.text);
        to.push_str("\x1b[0m");
    }
}

fn safe(text: String) -> String {
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(text) => text,
    }
}

/// The text with everything that would move the cursor, colour the terminal or
/// turn the reading direction written out: enclaves and other people's tools
/// choose some of these words.
pub(in crate::cli) fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let written = |character: char| match hidden(character) {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    Cow::Owned(text.chars().map(written).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_act_on_the_terminal() {
        assert_eq!(visible("plain, Ünïcode, 日本"), "plain, Ünïcode, 日本");
        assert_eq!(visible("a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(visible("\u{9b}31m \u{202e}evil"), "\\u{9b}31m \\u{202e}evil");
        assert_eq!(Cell::new("a\tb").width(), 4);
    }

    #[test]
    fn colours_are_for_terminals() {
        let (mut plain, mut coloured) = (String::new(), String::new());
        Cell::state("revoked").write(Colours::No, &mut plain);
        Cell::state("revoked").write(Colours::Yes, &mut coloured);
        assert_eq!((plain.as_str(), coloured.as_str()), ("revoked", "\x1b[31mrevoked\x1b[0m"));
    }
}
