/// A condition operator (IAM user guide, "IAM JSON policy elements: Condition operators"), as far as it can bind a
/// statement to measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// One of the values, exactly.
    Equals,
    /// One of the values, whatever the case of its letters.
    EqualsIgnoreCase,
    /// One of the values, which may have `*` and `?`.
    Like,
    /// None of the values; holds where the key is absent.
    NotEquals,
    /// The same, whatever the case of the letters.
    NotEqualsIgnoreCase,
    /// It binds nothing here: why.
    Loose(&'static str),
}

impl Operator {
    pub(super) fn read(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let text = match text.split_once(':') {
            // It holds only where there is a value: one that excludes lets whoever shows none pass.
            Some(("foranyvalue", rest)) if rest.starts_with("stringnot") => {
                return Self::Loose("ForAnyValue does not hold where there is no value");
            }
            Some(("foranyvalue", rest)) => rest,
            Some(("forallvalues", _)) => return Self::Loose("ForAllValues holds where there is no value"),
            Some(_) => return Self::Loose("an operator that is not known"),
            None => &text,
        };
        let (name, if_exists) = match text.strip_suffix("ifexists") {
            Some(name) => (name, true),
            None => (text, false),
        };
        match (name, if_exists) {
            ("stringnotequals", _) => Self::NotEquals,
            ("stringnotequalsignorecase", _) => Self::NotEqualsIgnoreCase,
            (_, true) => Self::Loose("…IfExists holds outside of every enclave"),
            ("stringequals", _) => Self::Equals,
            ("stringequalsignorecase", _) => Self::EqualsIgnoreCase,
            ("stringlike", _) => Self::Like,
            ("null", _) => Self::Loose("Null asks for some enclave, and not for which"),
            ("stringnotlike", _) => Self::Loose("it excludes, and lets everything else pass"),
            _ => Self::Loose("an operator that is not for texts"),
        }
    }
}
