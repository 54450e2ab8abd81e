//! `GET /healthz`: whether this enclave does its duty, for whoever watches it from outside.

use std::{sync::Arc, time::Duration};

use countersign_protocol::Host;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    attest::{Status, Trouble},
    child::ApplicationState,
    device::Device,
    healthz::{self, Report},
    transport::{Listener, Setbacks},
};

/// Everything that health is read from.
#[derive(Clone, Debug)]
pub struct Health {
    /// One for each proxy of the manifest.
    pub proxies: Vec<ProxyHealth>,
    /// The application's process.
    pub application: watch::Receiver<ApplicationState>,
    /// Knows how far the clock is off.
    pub device: Device,
}

/// Where one proxy stands.
#[derive(Clone, Debug)]
pub struct ProxyHealth {
    /// Its name in the manifest.
    pub name: Host,
    /// Its keeper's status.
    pub status: watch::Receiver<Status>,
}

impl Health {
    /// Answers until `stop`, a bounded number of callers at a time.
    pub async fn serve(self, mut listener: Listener, stop: CancellationToken) {
        let health = Arc::new(self);
        let room = Arc::new(Semaphore::new(MAX_CALLERS));
        let mut setbacks = Setbacks::default();
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok(stream) => {
                    setbacks.over();
                    // Over the limit the connection is closed: who asks for health asks again.
                    let Ok(permit) = room.clone().try_acquire_owned() else { continue };
                    let health = health.clone();
                    tokio::spawn(async move {
                        // A caller that does not speak or listen in time gets no answer.
                        let report = async || health.report(Instant::now());
                        let _ = timeout(CALLER_DEADLINE, healthz::answer(stream, report)).await;
                        drop(permit);
                    });
                }
                Err(why) => {
                    stop.run_until_cancelled(setbacks.wait("health", &why)).await;
                }
            }
        }
    }

    /// Healthy: the application runs, and every proxy has a session whose lease lasts.
    fn report(&self, now: Instant) -> Report {
        let proxies: Vec<_> = self.proxies.iter().map(|proxy| proxy.report(now)).collect();
        let (application, since) = match *self.application.borrow() {
            ApplicationState::Starting => ("starting", None),
            ApplicationState::Running { since } => ("running", Some(now.duration_since(since).as_secs())),
            ApplicationState::Ended => ("ended", None),
        };
        let healthy = since.is_some() && proxies.iter().all(|proxy| proxy["attested"] == true);
        let body = json!({
            "healthy": healthy,
            "application": application,
            "application_seconds": since,
            "proxies": proxies,
            "clock_offset_ms": self.device.clock().offset_ms(),
        });
        Report { healthy, body: body.to_string() }
    }
}

impl ProxyHealth {
    fn report(&self, now: Instant) -> Value {
        let status = self.status.borrow();
        let left = status.session(now).ok().map(|session| session.until().duration_since(now).as_secs());
        let refusal = match status.trouble() {
            Trouble::Failed { code, .. } => Some(code.clone()),
            Trouble::Nothing | Trouble::Starting => None,
        };
        json!({
            "proxy": self.name.to_string(),
            "attested": left.is_some(),
            "lease_seconds_left": left,
            "last_refusal": refusal,
        })
    }
}

const MAX_CALLERS: usize = 16;

/// For a caller to ask and to take the answer.
const CALLER_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::{
        device::{Attestor, DeviceError, DocumentRequest},
        transport::Listen,
    };

    struct NoDevice;

    impl Attestor for NoDevice {
        fn attest(&self, _: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
            Err(DeviceError::Gone)
        }
    }

    struct Rig {
        application: watch::Sender<ApplicationState>,
        address: std::net::SocketAddr,
        _stop: tokio_util::sync::DropGuard,
    }

    /// Health over TCP, with one proxy that never answered, or with none.
    async fn rig(proxies: &[&str]) -> Rig {
        let (application, seen) = watch::channel(ApplicationState::Starting);
        let proxies = proxies
            .iter()
            .map(|name| ProxyHealth {
                name: format!("{name}:1")
                    .parse::<countersign_protocol::Destination>()
                    .unwrap()
                    .host()
                    .clone(),
                status: watch::channel(Status::starting()).1,
            })
            .collect();
        let health = Health { proxies, application: seen, device: Device::new(NoDevice) };
        let Listener::Tcp(listener) = Listen::Tcp("127.0.0.1:0".parse().unwrap()).bind().await.unwrap()
        else {
            panic!("asked for TCP");
        };
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(health.serve(Listener::Tcp(listener), stop.clone()));
        Rig { application, address, _stop: stop.drop_guard() }
    }

    impl Rig {
        async fn ask(&self, request: &str) -> (u16, Value) {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
        }
    }

    const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

    #[tokio::test]
    async fn healthy_is_an_application_that_runs() {
        let rig = rig(&[]).await;
        let (status, body) = rig.ask(HEALTHZ).await;
        assert_eq!((status, &body["application"]), (503, &"starting".into()));
        rig.application.send(ApplicationState::Running { since: Instant::now() }).unwrap();
        let (status, body) = rig.ask(HEALTHZ).await;
        assert_eq!((status, &body["healthy"], &body["application_seconds"]), (200, &true.into(), &0.into()));
        rig.application.send(ApplicationState::Ended).unwrap();
        assert_eq!(rig.ask(HEALTHZ).await.0, 503);
    }

    #[tokio::test]
    async fn a_proxy_without_a_session_is_not_healthy() {
        let rig = rig(&["proxy.example"]).await;
        rig.application.send(ApplicationState::Running { since: Instant::now() }).unwrap();
        let (status, body) = rig.ask(HEALTHZ).await;
        let expected = json!([{
            "proxy": "proxy.example", "attested": false, "lease_seconds_left": null, "last_refusal": null,
        }]);
        assert_eq!((status, &body["proxies"]), (503, &expected));
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let rig = rig(&[]).await;
        assert_eq!(rig.ask("GET / HTTP/1.1\r\n\r\n").await.0, 404);
        assert_eq!(rig.ask("POST /healthz HTTP/1.1\r\n\r\n").await.0, 404);
        assert_eq!(rig.ask("\x00\r\n\r\n").await.0, 400);
        let long = format!("GET /healthz HTTP/1.1\r\nX: {}", "x".repeat(4096));
        assert_eq!(rig.ask(&long).await.0, 400);
    }

    #[tokio::test]
    async fn callers_that_say_nothing_leave_room_when_their_time_is_over() {
        let rig = rig(&[]).await;
        let mut silent = Vec::new();
        for _ in 0..MAX_CALLERS {
            silent.push(TcpStream::connect(rig.address).await.unwrap());
        }
        // One too many: closed without an answer.
        let mut late = TcpStream::connect(rig.address).await.unwrap();
        assert_eq!(late.read(&mut [0; 1]).await.unwrap(), 0);
        drop(silent.pop());
        // The place of the one that left is free as soon as its task has seen it.
        loop {
            let mut stream = TcpStream::connect(rig.address).await.unwrap();
            // Closed again while the place is taken.
            let _ = stream.write_all(HEALTHZ.as_bytes()).await;
            let mut answer = Vec::new();
            if stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.1 503") {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
