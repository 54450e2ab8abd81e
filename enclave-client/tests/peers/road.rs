//! What lies between two enclaves: the parents and the network, in the hands of whoever runs them.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_util::sync::CancellationToken;

/// Carries connections to whichever socket it is told to, and can stop.
pub struct Road {
    pub address: SocketAddr,
    to: Arc<Mutex<PathBuf>>,
    taken: Arc<AtomicUsize>,
    carrying: Arc<AtomicUsize>,
    open: Arc<Mutex<CancellationToken>>,
}

impl Road {
    pub async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let to = Arc::new(Mutex::new(socket));
        let (taken, carrying): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let open = Arc::new(Mutex::new(CancellationToken::new()));
        let road = Self {
            address,
            to: to.clone(),
            taken: taken.clone(),
            carrying: carrying.clone(),
            open: open.clone(),
        };
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                taken.fetch_add(1, Ordering::SeqCst);
                let (to, open) = (to.lock().unwrap().clone(), open.lock().unwrap().clone());
                let carrying = carrying.clone();
                carrying.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    carry(near, to, open).await;
                    carrying.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        road
    }

    /// From now on new connections lead somewhere else.
    pub fn divert(&self, socket: PathBuf) {
        *self.to.lock().unwrap() = socket;
    }

    /// From now on nothing comes through, on old connections and on new ones; nobody is told.
    pub fn block(&self) {
        self.open.lock().unwrap().cancel();
    }

    /// From now on nothing comes through on the connections that are open; new ones are carried.
    pub fn silence(&self) {
        std::mem::take(&mut *self.open.lock().unwrap()).cancel();
    }

    /// How many connections were taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// How many of them are open.
    pub fn open(&self) -> usize {
        self.carrying.load(Ordering::SeqCst)
    }
}

async fn carry(mut near: TcpStream, to: PathBuf, open: CancellationToken) {
    if open.is_cancelled() {
        return std::future::pending().await;
    }
    let mut far = UnixStream::connect(to).await.unwrap();
    if open.run_until_cancelled(copy_bidirectional(&mut near, &mut far)).await.is_none() {
        // Both sockets stay open and silent.
        std::future::pending::<()>().await;
    }
}
