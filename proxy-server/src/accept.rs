use std::{io, time::Duration};

use aws_lc_rs::rand;
use tokio::time::sleep;

/// accept(2) fails when descriptors or memory run out: trying again at once would
/// burn the CPU that others need to give some back. Says so and waits 50 to 113 ms,
/// so a port says it at most twenty times a second.
pub(crate) async fn back_off(error: &io::Error, port: &'static str) {
    tracing::error!(code = "accept-failed", port, reason = %error, "cannot accept connections");
    let mut jitter = [0];
    // Without randomness all ports try again together, which is harmless.
    let _ = rand::fill(&mut jitter);
    let [jitter] = jitter;
    sleep(Duration::from_millis(50 + u64::from(jitter) / 4)).await;
}
