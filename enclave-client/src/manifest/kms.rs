//! `kms_proxy`: the local KMS endpoint, and what may be asked of it.

use std::{num::NonZeroU16, path::Path};

use super::{
    Files, Mistake,
    checked::{parsed, port},
    node::At,
    raw,
    shape::path_of,
};
use crate::{
    kms::{Allow, Endpoints, Rules, Standard},
    tls::Anchors,
};

/// The local KMS endpoint.
#[derive(Clone, Debug)]
pub struct KmsEntry {
    /// Its port on loopback.
    pub port: NonZeroU16,
    /// Where KMS is.
    pub endpoints: Endpoints,
    /// What may be asked.
    pub rules: Rules,
    /// Whom KMS's certificate must come from.
    pub anchors: Anchors,
    /// Where AWS credentials come from; `None` is what there is.
    pub credentials: Option<CredentialsFrom>,
}

/// Where AWS credentials come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsFrom {
    /// The variables of the client's own environment.
    Environment,
    /// The role of the parent instance, through its metadata service.
    Instance,
    /// The attestation proxy, of which the manifest has exactly one.
    Proxy,
}

impl KmsEntry {
    /// What was written, checked; `None` with at least one mistake noted.
    pub(super) fn check(
        raw: &raw::KmsProxy,
        proxies: usize,
        files: &Files<'_>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Self> {
        let raw::KmsProxy {
            listen_port,
            endpoints,
            operations,
            keys,
            encryption_context,
            anchor_file,
            endpoint_kind,
            credentials,
        } = raw;
        let before = mistakes.len();
        let mut named = std::collections::BTreeMap::new();
        for (region, site) in endpoints {
            let path = path_of(&path_of(PATH, "endpoints"), &region.value);
            let region = parsed(region, &path, mistakes);
            // Enclaver has host names there; there is no plain HTTP to KMS.
            let bare = !site.value.contains("://");
            let url = if bare { format!("https://{}", site.value) } else { site.value.clone() };
            let site = parsed(&At { value: url, place: site.place }, &path, mistakes);
            named.extend(region.zip(site));
        }
        let rules = Rules {
            operations: list(operations, mistakes),
            keys: list(keys, mistakes),
            encryption_context: encryption_context
                .iter()
                .map(|(name, value)| (name.value.clone(), value.value.clone()))
                .collect(),
        };
        let anchors = match anchor_file {
            None => Some(Anchors::bundled()),
            Some(file) => anchors(file, files, mistakes),
        };
        let port = port(listen_port.as_ref())?;
        // Any other word was noted where the words are checked.
        let standard = match endpoint_kind.as_ref().map(|kind| kind.value.as_str()) {
            Some("fips") => Standard::Fips,
            _ => Standard::Public,
        };
        let credentials = credentials.as_ref().and_then(|from| source(from, proxies, mistakes));
        let endpoints = Endpoints { named, standard };
        (mistakes.len() == before).then_some(Self { port, endpoints, rules, anchors: anchors?, credentials })
    }
}

fn source(from: &At<String>, proxies: usize, mistakes: &mut Vec<Mistake>) -> Option<CredentialsFrom> {
    match from.value.as_str() {
        "environment" => Some(CredentialsFrom::Environment),
        "instance" => Some(CredentialsFrom::Instance),
        "proxy" if proxies == 1 => Some(CredentialsFrom::Proxy),
        "proxy" => {
            let message = format!("expected outboundConnections through exactly one proxy; found {proxies}");
            mistakes.push(from.place.mistake(path_of(PATH, "credentials"), message));
            None
        }
        _ => None,
    }
}

/// An absent list allows whatever KMS does, an empty one nothing.
fn list<T>(texts: &Option<Vec<(String, At<String>)>>, mistakes: &mut Vec<Mistake>) -> Allow<T>
where
    T: Ord + std::str::FromStr<Err: std::fmt::Display>,
{
    match texts {
        None => Allow::Any,
        Some(texts) => {
            Allow::Only(texts.iter().filter_map(|(path, text)| parsed(text, path, mistakes)).collect())
        }
    }
}

fn anchors(file: &At<String>, files: &Files<'_>, mistakes: &mut Vec<Mistake>) -> Option<Anchors> {
    let path = path_of(PATH, "anchor_file");
    let pem = (files.beside)(Path::new(&file.value));
    let pem =
        pem.map_err(|why| mistakes.push(file.place.mistake(&path, format!("cannot be read: {why}")))).ok()?;
    Anchors::from_pem(&pem).map_err(|why| mistakes.push(file.place.mistake(&path, why.to_string()))).ok()
}

const PATH: &str = "kms_proxy";
