use std::sync::Arc;

use countersign_protocol::{KeyThumbprint, SessionId};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::refusal::Refusal;
use crate::{
    replica::{Absent, Elsewhere},
    session::{RegisterError, Session, Sessions},
};

/// The live session of a client that proved to hold a session certificate's key.
///
/// The certificate alone is no way through: the record decides, and the record
/// names the key. What is not known here is looked up in the store, where replicas
/// share one.
///
/// # Errors
/// [`Stranger`].
pub(super) async fn find_session(
    sessions: &Sessions,
    elsewhere: &Elsewhere,
    leaf: &CertificateDer<'_>,
) -> Result<Arc<Session>, Stranger> {
    let (id, key) = named(leaf).ok_or(Absent::Unknown)?;
    Ok(elsewhere.find(sessions, id, key).await?)
}

/// What a session certificate says of its holder.
fn named(leaf: &CertificateDer<'_>) -> Option<(SessionId, KeyThumbprint)> {
    let certificate = EndEntityCert::try_from(leaf).ok()?;
    let id = session_id(certificate.valid_uri_names())?;
    Some((id, KeyThumbprint::of_spki(&certificate.subject_public_key_info())))
}

/// A client that holds a session certificate's key and has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// There is none for it.
    Absent(Absent),
    /// The session takes nothing more: it has as many connections as it may have.
    Full(RegisterError),
}

impl From<Absent> for Stranger {
    fn from(absent: Absent) -> Self {
        Self::Absent(absent)
    }
}

impl From<Stranger> for Refusal {
    fn from(stranger: Stranger) -> Self {
        match stranger {
            Stranger::Absent(Absent::Unknown) => Self::NoSession,
            Stranger::Absent(Absent::OtherKey) => Self::KeyMismatch,
            Stranger::Absent(Absent::Ended(reason)) => RegisterError::Ended(reason).into(),
            Stranger::Absent(Absent::NoRoom) => Self::NoRoom,
            Stranger::Absent(Absent::NotLookedUp) => Self::NotLookedUp,
            Stranger::Full(error) => error.into(),
        }
    }
}

/// From `countersign://<deployment>/workload/<name>/session/<id>`; exactly one
/// name may have that form.
fn session_id<'a>(uris: impl Iterator<Item = &'a str>) -> Option<SessionId> {
    let mut ours = uris.filter_map(|uri| uri.strip_prefix("countersign://"));
    let path = ours.next()?;
    if ours.next().is_some() {
        return None;
    }
    let mut parts = path.split('/');
    let parts = [(); 5].map(|()| parts.next()).into_iter().chain([parts.next()]);
    match parts.collect::<Vec<_>>()[..] {
        [Some(_), Some("workload"), Some(_), Some("session"), Some(id), None] => id.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_id_is_read_from_one_exact_form() {
        let hex = "a5".repeat(16);
        let id = Some(SessionId::from_bytes([0xa5; 16]));
        let good = format!("countersign://demo/workload/web/session/{hex}");
        assert_eq!(session_id([good.as_str()].into_iter()), id);
        assert_eq!(session_id(["https://example.com/", good.as_str()].into_iter()), id);
        assert_eq!(session_id([good.as_str(), good.as_str()].into_iter()), None, "two of them");
        for bad in [
            "".to_owned(),
            format!("countersign://demo/workload/web/session/{hex}/"),
            format!("countersign://demo/workload/web/session/{hex}00"),
            format!("countersign://demo/session/{hex}"),
            format!("countersign://demo/workload/a/b/session/{hex}"),
            format!("https://demo/workload/web/session/{hex}"),
        ] {
            assert_eq!(session_id([bad.as_str()].into_iter()), None, "{bad}");
        }
    }
}
