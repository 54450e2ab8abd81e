//! A far end in a process of its own, for tests that hold more connections than one process may have files. It prints
//! where it listens and ends with its standard input.

use std::io::Read;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    println!("{}", countersign_e2e::serve_errands().await?);
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
