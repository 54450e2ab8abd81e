use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::store::ChainRow;

/// How far each chain of the audit was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::admin) struct Place(BTreeMap<String, u64>);

impl Place {
    /// Where the chains stand now.
    pub(super) fn of(chains: Vec<ChainRow>) -> Self {
        Self(chains.into_iter().map(|chain| (chain.name, chain.seq)).collect())
    }

    /// The last row read of a chain.
    pub(super) fn of_chain(&self, chain: &str) -> Option<u64> {
        self.0.get(chain).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(chain, seq)| (chain.as_str(), *seq))
    }

    pub(super) fn read(&mut self, chain: &str, seq: u64) {
        self.0.insert(chain.to_owned(), seq);
    }

    /// Whether everything read here was read there too.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|(chain, seq)| other.of_chain(chain).is_some_and(|there| *seq <= there))
    }
}

/// One word, which means nothing to listeners.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(chain, seq)| format!("{chain}={seq}")).collect();
        f.write_str(&URL_SAFE_NO_PAD.encode(parts.join(",")))
    }
}

/// What a listener gives back; foreign text, so it is bounded.
impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NOT_OURS: &str = "no id of an event of ours";
        if text.len() > LONGEST {
            return Err(NOT_OURS);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NOT_OURS)?;
        let text = String::from_utf8(bytes).map_err(|_| NOT_OURS)?;
        let part =
            |part: &str| Some((part.split_once('=')?.0.to_owned(), part.split_once('=')?.1.parse().ok()?));
        let parts: Option<BTreeMap<_, _>> =
            text.split(',').filter(|text| !text.is_empty()).map(part).collect();
        parts.map(Self).ok_or(NOT_OURS)
    }
}

/// Some hundred chains of replicas that were.
const LONGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back() {
        let chain = |name: &str, seq| ChainRow { name: name.to_owned(), seq, hash: [0; 32] };
        let place = Place::of(vec![chain("policy", 7), chain("replica/0a", 0)]);
        assert_eq!(place.to_string().parse(), Ok(place.clone()));
        assert_eq!("".parse(), Ok(Place::default()));
        for bad in ["!", "AAAA", &URL_SAFE_NO_PAD.encode("policy=-1"), &"A".repeat(LONGEST + 4)] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
        let mut later = place.clone();
        later.read("policy", 8);
        assert!(place.is_within(&later) && !later.is_within(&place));
    }
}
