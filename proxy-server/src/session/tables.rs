use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use countersign_protocol::{KeyThumbprint, SessionId};

use super::Session;

/// A session in a table by its id, and one by its key: eight bytes each.
pub(super) struct ById(pub(super) Arc<Session>);
pub(super) struct ByKey(pub(super) Arc<Session>);

macro_rules! found_by {
    ($entry:ident, $field:ident, $key:ty) => {
        impl Hash for $entry {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.$field().hash(state);
            }
        }

        impl PartialEq for $entry {
            fn eq(&self, other: &Self) -> bool {
                self.0.$field() == other.0.$field()
            }
        }

        impl Eq for $entry {}

        impl Borrow<$key> for $entry {
            fn borrow(&self) -> &$key {
                self.0.$field()
            }
        }
    };
}

found_by!(ById, id_ref, SessionId);
found_by!(ByKey, key_ref, KeyThumbprint);
