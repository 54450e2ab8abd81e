//! One caller and one callee whose applications talk.

use countersign_enclave::{
    egress::{Connection, Way},
    relay::{Early, End, relay},
    transport::Stream,
};
use countersign_simulator::Module;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    rig::{Callee, Caller, PATIENCE, World, config},
    road::Road,
};

/// A caller, a callee and the road between them.
pub struct Talk {
    pub callee: Callee,
    pub road: Road,
    pub caller: Caller,
}

impl Talk {
    pub async fn start(world: &World) -> Self {
        let (driver, worker) = modules();
        let callee = Callee::start(world, worker.clone(), config(1, &[&driver], &[])).await;
        let road = Road::to(callee.socket.clone()).await;
        let caller = Caller::start(world, driver, &road, &[&worker]).await;
        Self { callee, road, caller }
    }

    /// A transfer as the local proxy would carry it: the application's two ends, and what became of the relay.
    pub async fn transfer(&self) -> (TcpStream, TcpStream, JoinHandle<End>) {
        let connection = self.caller.open().await.unwrap();
        let (far, _) = self.callee.application.accept().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let inside = Stream::Tcp(listener.accept().await.unwrap().0);
        let cut = connection.cut().unwrap().clone();
        assert!(matches!(connection.inner(), Way::Peer(_)));
        let carried = async move { relay(inside, connection, Early::default(), Some(&cut)).await.end };
        (near, far, tokio::spawn(carried))
    }
}

pub fn modules() -> (Module, Module) {
    (Module::from_image("driver"), Module::from_image("worker"))
}

pub async fn say(near: &mut TcpStream, far: &mut TcpStream) {
    near.write_all(b"still here").await.unwrap();
    let mut said = [0; 10];
    timeout(PATIENCE, far.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said, b"still here");
}

/// The far end, after it has heard something.
pub async fn assert_carries(near: &mut Connection, callee: &Callee) -> TcpStream {
    let (mut far, _) = timeout(PATIENCE, callee.application.accept()).await.unwrap().unwrap();
    near.write_all(b"hi").await.unwrap();
    let mut said = [0; 2];
    timeout(PATIENCE, far.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said, b"hi");
    far
}
