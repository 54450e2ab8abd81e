use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{door::Place, limit::OuterLimit};
use crate::{
    healthz::{self, Report},
    transport::{Address, Stream},
};

/// Answers `GET /healthz`: for the host half, and for the enclave if it is known where that is.
pub(super) struct HealthDesk {
    /// The enclave's own health port.
    pub(super) enclave: Option<Address>,
    pub(super) limit: watch::Receiver<Arc<OuterLimit>>,
    pub(super) egress: Arc<Semaphore>,
    pub(super) ingress: Arc<Semaphore>,
    /// How many places each of the two had.
    pub(super) most: usize,
}

/// What is answered: 200, or 503 when there is an enclave and it is not healthy.
#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    enclave: EnclaveHealth,
    /// Rules of the outer limit; null: there is no limit.
    egress_rules: Option<usize>,
    egress_connections: usize,
    ingress_connections: usize,
}

/// What the enclave's health port says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum EnclaveHealth {
    /// No `--cid`: nobody to ask.
    NotAsked,
    /// 200.
    Ok,
    /// Any other answer.
    Unhealthy,
    /// No answer, or none in time.
    Unreachable,
}

impl HealthDesk {
    pub(super) async fn serve(self: Arc<Self>, stream: Stream, place: Place) {
        // Whoever asked may be gone; the next one asks again.
        let _ = timeout(DEADLINE, healthz::answer(stream, || self.health())).await;
        drop(place);
    }

    async fn health(&self) -> Report {
        let enclave = match &self.enclave {
            None => EnclaveHealth::NotAsked,
            Some(enclave) => {
                timeout(ENCLAVE_DEADLINE, ask(enclave)).await.unwrap_or(EnclaveHealth::Unreachable)
            }
        };
        let healthy = matches!(enclave, EnclaveHealth::NotAsked | EnclaveHealth::Ok);
        let health = Health {
            status: if healthy { "ok" } else { "enclave-unhealthy" },
            enclave,
            egress_rules: self.limit.borrow().rules(),
            egress_connections: self.most - self.egress.available_permits(),
            ingress_connections: self.most - self.ingress.available_permits(),
        };
        Report { healthy, body: serde_json::to_string(&health).unwrap_or_default() }
    }
}

/// The status line is all that counts, and all that is read.
async fn ask(enclave: &Address) -> EnclaveHealth {
    let Ok(mut stream) = enclave.connect().await else { return EnclaveHealth::Unreachable };
    if stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: enclave\r\nConnection: close\r\n\r\n").await.is_err()
    {
        return EnclaveHealth::Unreachable;
    }
    let mut status = [0; b"HTTP/1.1 200".len()];
    match stream.read_exact(&mut status).await {
        Ok(_) if status == *b"HTTP/1.1 200" => EnclaveHealth::Ok,
        Ok(_) => EnclaveHealth::Unhealthy,
        Err(_) => EnclaveHealth::Unreachable,
    }
}

/// For the whole connection.
const DEADLINE: Duration = Duration::from_secs(5);

/// For the enclave's part of it.
const ENCLAVE_DEADLINE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn the_enclave_is_believed_by_its_status_only() {
        let path = std::env::temp_dir().join(format!("cs-health-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let enclave = Address::Unix(path.clone());
        for (answer, health) in [
            ("HTTP/1.1 200 OK\r\n\r\n", EnclaveHealth::Ok),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", EnclaveHealth::Unhealthy),
            ("200", EnclaveHealth::Unreachable),
            ("", EnclaveHealth::Unreachable),
        ] {
            let answering = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                stream
            };
            let (asked, _stream) = tokio::join!(ask(&enclave), answering);
            assert_eq!(asked, health, "{answer:?}");
        }
        drop(listener);
        assert_eq!(ask(&enclave).await, EnclaveHealth::Unreachable);
        std::fs::remove_file(&path).unwrap();
    }
}
