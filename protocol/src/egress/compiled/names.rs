use super::{
    SlotId,
    tree::{Middle, Side, Tree},
};
use crate::egress::{NamePattern, PolicyError, pattern::Label};

/// Patterns, by their labels from the right.
///
/// ```text
///   a.**.b.**.c.d   =   a   **  b  **   c.d
///                       │       │       └── from the right, to the last `**`: a path in the tree
///                       │       └────────── between the first and the last: a list, usually empty
///                       └────────────────── from the left, to the first `**`: a path in a tree at that place
/// ```
///
/// A place in a tree is passed at most once for a name, since its depth says where in
/// the name it lies. Only `*` beside a label branches; how many places one name can
/// pass is counted when the policy is made, and a policy that exceeds the bound is refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    tree: Tree,
    size: usize,
    most_steps: u32,
}

impl Names {
    /// Where the rules of a pattern are kept.
    ///
    /// # Errors
    /// [`PolicyError::TooLarge`].
    pub(super) fn slot(&mut self, pattern: &NamePattern) -> Result<&mut Option<SlotId>, PolicyError> {
        let labels = canonical(pattern.labels());
        self.size += labels.len();
        if self.size > MAX_LABELS {
            return Err(PolicyError::TooLarge);
        }
        let is_many = |label: &Label| *label == Label::Many;
        let Some(last) = labels.iter().rposition(is_many) else {
            return Ok(&mut self.tree.path(labels.iter().rev()).end);
        };
        let (left, right) =
            (labels.get(..last).unwrap_or_default(), labels.get(last + 1..).unwrap_or_default());
        let place = self.tree.path(right.iter().rev());
        if left.is_empty() {
            return Ok(&mut place.more);
        }
        let inner = &mut place.inside().tree;
        let Some(first) = left.iter().position(is_many) else {
            return Ok(&mut inner.path(left.iter()).more);
        };
        let place = inner.path(left.get(..first).unwrap_or_default().iter());
        let middle = left.get(first + 1..).unwrap_or_default();
        let middles = &mut place.inside().middles;
        let at = match middles.iter().position(|known| known.is(middle)) {
            Some(at) => at,
            None if middles.len() >= MAX_MIDDLES => {
                return Err(too_entangled(middles.iter().map(Middle::most_steps).sum()));
            }
            None => {
                middles.push(Middle::new(middle));
                middles.len() - 1
            }
        };
        middles.get_mut(at).map(|middle| &mut middle.slot).ok_or(PolicyError::TooLarge)
    }

    /// Counts the most steps that any name can cost.
    ///
    /// # Errors
    /// [`PolicyError::TooEntangled`].
    pub(super) fn check(&mut self) -> Result<(), PolicyError> {
        let most = self.tree.most_steps();
        self.most_steps =
            u32::try_from(most).ok().filter(|most| *most <= MAX_STEPS).ok_or(too_entangled(most))?;
        Ok(())
    }

    /// What [`check`](Self::check) counted.
    pub(super) fn most_steps(&self) -> u32 {
        self.most_steps
    }

    /// Gives the slot of each pattern that matches, and says how many steps it took.
    pub(super) fn find(&self, name: &str, each: &mut impl FnMut(SlotId)) -> u32 {
        self.tree.find(Side::Right, name, each)
    }
}

/// Wildcards beside each other in one order: `**.*`, `*.**` and `**.**` all mean two labels or more.
/// From the right the single ones come first, so that a `**` always takes one or more.
fn canonical(labels: &[Label]) -> Vec<Label> {
    let mut canonical: Vec<Label> = Vec::with_capacity(labels.len());
    for label in labels {
        let after_many = |canonical: &[Label]| {
            canonical.iter().rev().find(|label| **label != Label::One) == Some(&Label::Many)
        };
        match label {
            Label::Many if after_many(&canonical) => canonical.push(Label::One),
            Label::Many => {
                let ones = canonical.iter().rev().take_while(|label| **label == Label::One).count();
                canonical.insert(canonical.len() - ones, Label::Many);
            }
            label => canonical.push(label.clone()),
        }
    }
    canonical
}

fn too_entangled(steps: u64) -> PolicyError {
    PolicyError::TooEntangled { steps, limit: MAX_STEPS }
}

/// Labels of all patterns together: about 150 MB of tree.
const MAX_LABELS: usize = 1_000_000;

/// What one name may cost: about 0.2 ms. A usual policy of any size needs less than ten.
const MAX_STEPS: u32 = 16_384;

/// Patterns with several `**` and the same labels at both ends. More could not keep to `MAX_STEPS` anyway.
const MAX_MIDDLES: usize = 256;
