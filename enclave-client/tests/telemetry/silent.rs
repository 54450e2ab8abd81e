//! A collector that takes connections and says nothing.

use countersign_test_support::{Halves, Plan, tell};
use tokio::net::TcpListener;

use crate::{ENCLAVE, echo, echoed};

/// More tunnels than there is room for spans: each opens and carries, and the programs end all the same.
#[tokio::test]
async fn no_tunnel_waits_for_a_collector_and_what_it_does_not_take_is_bounded() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = silent.local_addr().unwrap();
    let echo = echo().await;
    let manifest = format!("  allow: [\"{echo}\", \"{collector}\"]\n");
    let flags = tell(collector);
    let way = Halves::start(Plan { program: ENCLAVE, manifest, flags, client_flags: Vec::new() }).await;
    // It takes the connection, and never answers.
    let (_held, _) = silent.accept().await.unwrap();
    let before = way.client_kib();
    for _ in 0..TUNNELS {
        let (mut tunnel, answer) = way.connect(echo, "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        echoed(&mut tunnel, b"through").await;
    }
    let grown = way.client_kib().saturating_sub(before);
    assert!(grown < MOST_KIB, "{grown} KiB for spans that nobody takes");
    // Both wait for it a little, and no longer.
    way.end().await;
}

/// A queue holds 4,096 spans.
const TUNNELS: usize = 5000;

/// Both queues at their bounds (4 MiB each), and the allocator's share.
const MOST_KIB: u64 = 24 * 1024;
