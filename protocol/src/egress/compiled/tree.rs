use std::collections::HashMap;

use super::SlotId;
use crate::egress::pattern::{Label, glob};

/// Labels in order, from one side; each place holds what ends there.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// The first one is the root; every other comes after the one it hangs on.
    places: Vec<Place>,
}

/// After some labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    next: Next,
    one: Option<PlaceId>,
    /// The pattern ends here, and so must the name.
    pub(super) end: Option<SlotId>,
    /// A `**` ends the pattern here: one label or more must be left.
    pub(super) more: Option<SlotId>,
    inside: Option<Box<Inside>>,
}

/// What few places have, apart from them: a place fits into a cache line.
#[derive(Clone, Debug, Default)]
pub(super) struct Inside {
    /// A `**` stands here and more labels beyond it: those, from the other side.
    pub(super) tree: Tree,
    /// Between two `**`, for a tree that is read after another from the other side.
    pub(super) middles: Vec<Middle>,
}

/// Which place a label leads to. Most places have one label after them.
#[derive(Clone, Debug, Default)]
enum Next {
    #[default]
    Nowhere,
    Single(Box<str>, PlaceId),
    #[expect(clippy::box_collection, reason = "a map takes 48 bytes, and most places need none")]
    Several(Box<HashMap<Box<str>, PlaceId>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PlaceId(u32);

/// From which side labels are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Tree {
    /// Gives the slots of all patterns that match these labels, and says how many steps it took.
    pub(super) fn find(&self, side: Side, labels: &str, each: &mut impl FnMut(SlotId)) -> u32 {
        self.find_from(PlaceId::ROOT, side, labels, each)
    }

    fn find_from(&self, from: PlaceId, side: Side, labels: &str, each: &mut impl FnMut(SlotId)) -> u32 {
        let (mut at, mut left, mut steps) = (from, labels, 0);
        while let Some(place) = self.places.get(at.0 as usize) {
            steps += 1;
            if left.is_empty() {
                place.end.map(&mut *each);
                break;
            }
            place.more.map(&mut *each);
            if let Some(inside) = &place.inside {
                steps += inside.find(left, each);
            }
            let (label, rest) = side.take(left);
            if let Some(one) = place.one {
                steps += self.find_from(one, side, rest, each);
            }
            let Some(next) = place.next.get(label) else { break };
            (at, left) = (next, rest);
        }
        steps
    }

    /// The most steps that any labels can cost: of the labels after a place each name has one.
    pub(super) fn most_steps(&self) -> u64 {
        let mut most = vec![0_u64; self.places.len()];
        for (at, place) in self.places.iter().enumerate().rev() {
            let of = |id: PlaceId| most.get(id.0 as usize).copied().unwrap_or_default();
            let here = [
                1,
                place.inside.as_ref().map_or(0, |inside| inside.most_steps()),
                place.one.map_or(0, of),
                place.next.ids().map(of).max().unwrap_or_default(),
            ];
            let here = here.into_iter().fold(0, u64::saturating_add);
            if let Some(most) = most.get_mut(at) {
                *most = here;
            }
        }
        most.first().copied().unwrap_or_default()
    }
}

impl Tree {
    /// The place after these labels, none of which is `**`.
    pub(super) fn path<'l>(&mut self, labels: impl Iterator<Item = &'l Label>) -> &mut Place {
        let mut at = PlaceId::ROOT;
        for label in labels {
            at = self.after(at, label);
        }
        self.place_mut(at)
    }

    /// The place one label further, made if it is not there.
    fn after(&mut self, at: PlaceId, label: &Label) -> PlaceId {
        let fresh = PlaceId(self.places.len() as u32);
        let place = self.place_mut(at);
        let found = match label {
            Label::Is(label) => place.next.get_or_insert(label, fresh),
            Label::One | Label::Many => *place.one.get_or_insert(fresh),
        };
        if found == fresh {
            self.places.push(Place::default());
        }
        found
    }

    fn place_mut(&mut self, at: PlaceId) -> &mut Place {
        // Ids are given out here only, for places that are.
        &mut self.places[at.0 as usize]
    }
}

impl Place {
    /// What few places have, made if this one has it not.
    pub(super) fn inside(&mut self) -> &mut Inside {
        self.inside.get_or_insert_default()
    }
}

impl Inside {
    fn find(&self, left: &str, each: &mut impl FnMut(SlotId)) -> u32 {
        let between: u32 = self.middles.iter().map(|middle| middle.find(left, each)).sum();
        between + self.tree.find(Side::Left, left, each)
    }

    fn most_steps(&self) -> u64 {
        self.middles.iter().map(Middle::most_steps).fold(self.tree.most_steps(), u64::saturating_add)
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self { places: vec![Place::default()] }
    }
}

impl Next {
    fn get(&self, label: &str) -> Option<PlaceId> {
        match self {
            Self::Nowhere => None,
            Self::Single(only, place) => (**only == *label).then_some(*place),
            Self::Several(places) => places.get(label).copied(),
        }
    }

    fn get_or_insert(&mut self, label: &str, fresh: PlaceId) -> PlaceId {
        match self {
            Self::Nowhere => *self = Self::Single(label.into(), fresh),
            Self::Single(only, place) if **only == *label => return *place,
            Self::Single(only, place) => {
                let first = (std::mem::take(only), *place);
                *self = Self::Several(Box::new(HashMap::from([first, (label.into(), fresh)])));
            }
            Self::Several(places) => return *places.entry(label.into()).or_insert(fresh),
        }
        fresh
    }

    fn ids(&self) -> impl Iterator<Item = PlaceId> {
        let (single, several) = match self {
            Self::Nowhere => (None, None),
            Self::Single(_, place) => (Some(*place), None),
            Self::Several(places) => (None, Some(places.values().copied())),
        };
        single.into_iter().chain(several.into_iter().flatten())
    }
}

impl PlaceId {
    const ROOT: Self = Self(0);
}

impl Side {
    /// The first label from this side, and what is left.
    fn take(self, labels: &str) -> (&str, &str) {
        match self {
            Self::Left => labels.split_once('.').unwrap_or((labels, "")),
            Self::Right => labels.rsplit_once('.').map_or((labels, ""), |(rest, label)| (label, rest)),
        }
    }
}

/// Labels between two `**`: no side to find them from, so they are tried one pattern after the other.
#[derive(Clone, Debug)]
pub(super) struct Middle {
    /// With a `**` at both ends.
    pattern: Box<[Label]>,
    /// Its rules.
    pub(super) slot: Option<SlotId>,
}

impl Middle {
    pub(super) fn new(labels: &[Label]) -> Self {
        let many = || std::iter::once(Label::Many);
        Self { pattern: many().chain(labels.iter().cloned()).chain(many()).collect(), slot: None }
    }

    /// Whether it stands for these labels.
    pub(super) fn is(&self, labels: &[Label]) -> bool {
        self.pattern.len() == labels.len() + 2 && self.pattern.get(1..=labels.len()) == Some(labels)
    }

    fn find(&self, left: &str, each: &mut impl FnMut(SlotId)) -> u32 {
        let (matches, steps) = glob(&self.pattern, left);
        if matches {
            self.slot.map(each);
        }
        steps
    }

    /// The most steps that any labels can cost.
    pub(super) fn most_steps(&self) -> u64 {
        (MAX_NAME_LABELS + 1) * (self.pattern.len() as u64 + 1)
    }
}

/// 253 bytes of labels, a byte each, and dots between them (RFC 1035 section 2.3.4).
const MAX_NAME_LABELS: u64 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_fits_into_a_cache_line() {
        assert!(size_of::<Place>() <= 64, "{}", size_of::<Place>());
    }
}
