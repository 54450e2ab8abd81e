use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use super::file::{Failed, PinArgs, RootArgs, now, trusted};
use crate::{
    attest::chain,
    cli::Output,
    peers::{PeerIdentity, Probed, config::Trusted, probe},
    transport::{Dial, Stream},
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProbeArgs {
    /// Where the peer is: host:port, unix:/path or vsock:cid:port
    #[arg(value_name = "HOST:PORT", value_parser = place)]
    peer: Dial,
    /// Its configuration: the ConfigMap, or the peer.yaml in it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    roots: RootArgs,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl ProbeArgs {
    pub(super) fn execute(&self) -> ExitCode {
        let probed = trusted(&self.config, &self.pin, &self.roots).and_then(|trusted| self.ask(&trusted));
        match probed {
            Ok(probed) => {
                self.print(&probed);
                ExitCode::SUCCESS
            }
            Err(failed) => failed.report(self.output),
        }
    }

    fn ask(&self, trusted: &Trusted) -> Result<Probed, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|why| Failed::Usage(format!("no runtime: {why}")))?;
        runtime.block_on(async {
            let identity = PeerIdentity::generate().map_err(|why| Failed::Usage(chain(&why)))?;
            let stream = dial(&self.peer).await?;
            let probed = probe(&identity, stream, trusted, now()).await;
            probed.map_err(|why| Failed::Refused(why.code(), chain(&why)))
        })
    }

    fn print(&self, probed: &Probed) {
        let Probed { module_id, pcrs, timestamp, not_after, root, measurement } = probed;
        match self.output {
            Output::Text => {
                println!("ok: {module_id} is {measurement:?}");
                println!("root: {root}");
                println!("document: made {timestamp}, its certificates end {not_after}");
                pcrs.iter().for_each(|(index, value)| println!("{index}: {value}"));
            }
            Output::Json => {
                let pcrs: serde_json::Map<_, _> =
                    pcrs.iter().map(|(index, value)| (index.to_string(), value.to_string().into())).collect();
                let (timestamp, not_after) = (timestamp.to_string(), not_after.to_string());
                println!(
                    "{}",
                    json!({
                        "ok": true, "module_id": module_id, "measurement": measurement, "root": root,
                        "timestamp": timestamp, "certificates_end": not_after, "pcrs": pcrs,
                    })
                );
            }
        }
    }
}

async fn dial(peer: &Dial) -> Result<Stream, Failed> {
    let mut last = None;
    for address in peer.resolve().await.map_err(|why| Failed::Refused("peer-unreachable", chain(&why)))? {
        match address.connect().await {
            Ok(stream) => return Ok(stream),
            Err(why) => last = Some(chain(&why)),
        }
    }
    Err(Failed::Refused("peer-unreachable", last.unwrap_or_else(|| "the name has no address".to_owned())))
}

/// What has no scheme is TCP.
fn place(text: &str) -> Result<Dial, String> {
    let known = ["unix:", "vsock:", "tcp:"].iter().any(|scheme| text.starts_with(scheme));
    let text = if known { text.to_owned() } else { format!("tcp:{text}") };
    text.parse().map_err(|why: crate::transport::TransportError| why.to_string())
}

const EXAMPLES: &str = "\
Examples:
  countersign-enclave peer probe spark-worker.default.svc:7076 --config configmap.yaml --signer signer.pub.pem
  countersign-enclave peer probe 10.0.3.7:7076 --config peer.yaml --sha256 9f86d081… --output json

The peer proves itself; this machine, which is no enclave, proves nothing, and nothing is carried.
Exit codes: 0 it is who the configuration says; 1 it is not, or does not answer; 2 wrong usage, or a file that
cannot be read.";
