use std::borrow::Cow;

/// Of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text. What is longer than [`Value::LONGEST`] is cut when it is kept.
    Text(Cow<'static, str>),
    /// A whole number.
    Int(i64),
    /// Any number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
}

impl Value {
    /// The bytes of text that are kept of a value.
    pub const LONGEST: usize = 1024;

    /// Cut to [`Self::LONGEST`], between characters.
    pub(crate) fn bounded(self) -> Self {
        match self {
            Self::Text(text) if text.len() > Self::LONGEST => {
                Self::Text(Cow::Owned(text[..text.floor_char_boundary(Self::LONGEST)].to_owned()))
            }
            other => other,
        }
    }

    /// About how much memory it takes beside its own size.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Text(Cow::Owned(text)) => text.len(),
            _ => 0,
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(number.into())
    }
}

/// A count; more than [`i64::MAX`] is told as that.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}
