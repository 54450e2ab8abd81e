//! The admin port by itself, for tests in other languages: `e2e-admin DIRECTORY`.
//!
//! It writes `ready.json` into the directory, with the port's address, the CA's
//! file and a token of an administrator, and ends with its standard input.

use std::{fs, io::Read, path::Path, sync::Arc, time::Duration};

use countersign_protocol::LeaseBounds;
use countersign_proxy::{
    admin::{
        AdminApi, AdminConfig, AdminParts, AuditedLogins, StoreTokens,
        identity::{Authenticator, Grant, Role, Scope, TokenLife, TokenRecord},
        token_row,
    },
    ca::make_trial_certificate,
    config::ServerIdentity,
    policy::{Policy, PolicyHandle, Watcher},
    session::{Sessions, SessionsLimits},
    store::{Actor, AuditWriter, Journal, Missing, StoreConfig, UnixMs, open},
    telemetry::Telemetry,
};
use countersign_verifier::TrustAnchor;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let directory = std::env::args_os().nth(1).ok_or("give a directory")?;
    let directory = Path::new(&directory);
    let now = time::OffsetDateTime::now_utc();
    let [ca, certificate, key] = make_trial_certificate(directory, &["localhost".to_owned()], now)?;
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let identity = ServerIdentity::new(chain, PrivateKeyDer::from_pem_file(key)?)?;

    let place = StoreConfig::Sqlite { directory: directory.to_owned() };
    let store = open(&place, AuditWriter::unnamed(), Missing::Make).await?;
    let stored = store.load().await?;
    let policy = PolicyHandle::new(Policy::from_store(&stored, UnixMs::now())?);
    let (journal, _) = Journal::start(Arc::clone(&store));
    let stop = CancellationToken::new();
    let sessions = Sessions::new(SessionsLimits { max_sessions: 1_000, max_per_instance: 1_000 });
    tokio::spawn(Watcher::new(Arc::clone(&store) as _, stored, policy.clone(), sessions).run(stop.clone()));

    let grant = Grant::danger_of_the_machine("e2e", Role::Admin.into(), Scope::Everything);
    let life = TokenLife::new(Duration::from_secs(86_400)).ok_or("a day is a life")?;
    let (token, record) = TokenRecord::make(grant, "e2e".parse()?, life, UnixMs::now())?;
    let actor = Actor { subject: "local:e2e".to_owned(), request_id: "e2e".to_owned() };
    store.add_token(&token_row(&record), &actor).await?;

    let logins = AuditedLogins::new(journal, policy.clone());
    let api = AdminApi::new(
        &identity,
        AdminParts {
            authenticator: Arc::new(Authenticator::new(
                Arc::new(StoreTokens::new(Arc::clone(&store))),
                Arc::new(logins),
            )),
            store,
            telemetry: Telemetry::of_policy(policy.clone()),
            policy,
            deployment: "e2e".parse()?,
            anchor: TrustAnchor::aws(),
            approvals: 0,
            lease_bounds: LeaseBounds::default(),
            config: AdminConfig::default(),
        },
    )?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ready = serde_json::json!({
        "address": listener.local_addr()?,
        "ca": ca,
        "token": token.reveal().as_str(),
        "token_id": record.id.to_string(),
    });
    let unfinished = directory.join("ready.unfinished");
    fs::write(&unfinished, ready.to_string())?;
    fs::rename(&unfinished, directory.join("ready.json"))?;

    let closing = stop.clone();
    std::thread::spawn(move || {
        // Whoever started it holds the other end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        closing.cancel();
    });
    api.serve(listener, stop).await;
    Ok(())
}
