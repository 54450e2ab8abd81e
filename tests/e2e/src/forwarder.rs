use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{broadcast, watch},
    time::timeout,
};

use crate::PATIENCE;

/// A port that stays while what is behind it goes and comes: the network
/// between an enclave and its proxy, with a pair of scissors.
#[derive(Debug)]
pub struct Forwarder {
    /// Where to dial.
    pub address: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    scissors: broadcast::Sender<()>,
    carried: watch::Receiver<u32>,
}

impl Forwarder {
    /// Carries bytes to this address.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let to = Arc::new(Mutex::new(to));
        let (scissors, _) = broadcast::channel(1);
        let (count, carried) = watch::channel(0);
        let (target, cut) = (to.clone(), scissors.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = *target.lock().unwrap();
                let mut cut = cut.subscribe();
                let Ok(mut far) = TcpStream::connect(target).await else { continue };
                count.send_modify(|count| *count += 1);
                tokio::spawn(async move {
                    tokio::select! {
                        done = copy_bidirectional(&mut near, &mut far) => drop(done),
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { address, to, scissors, carried }
    }

    /// Cuts every connection; new ones are carried as before.
    pub fn cut(&self) {
        // Nobody listens only when there is nothing to cut.
        let _ = self.scissors.send(());
    }

    /// Carries new connections to another address.
    pub fn lead_to(&self, to: SocketAddr) {
        *self.to.lock().unwrap() = to;
    }

    /// How many connections reached the other side so far.
    pub fn carried(&self) -> u32 {
        *self.carried.borrow()
    }

    /// Returns when more than `count` connections have reached the other side.
    pub async fn carries_more_than(&self, count: u32) {
        let mut carried = self.carried.clone();
        timeout(PATIENCE, carried.wait_for(|now| *now > count)).await.expect("a connection in time").unwrap();
    }
}
