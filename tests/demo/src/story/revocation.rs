use std::{fs, time::Duration};

use time::OffsetDateTime;
use tokio::time::Instant;

use super::{
    SOON, Stage,
    opening::{A, DOWNLOAD},
};
use crate::{failure::Failure, narrator::Narrator, upstream::Event};

impl Stage {
    /// Step 5: the measurement is revoked while bytes flow.
    pub(super) async fn a_revocation_cuts_the_tunnel(
        &mut self,
        narrator: &mut Narrator,
    ) -> Result<(), Failure> {
        narrator.step("payments 1.0 is revoked while its download runs");
        let downloaded = fs::metadata(self.world.path(DOWNLOAD)).map(|file| file.len()).unwrap_or_default();
        Failure::unless(downloaded > 0, || Failure::new("a download that has begun", "not a byte so far"))?;
        narrator.says(format!("{downloaded} bytes have come so far"));

        let clocks = Clocks::read();
        self.proxy
            .command(&["measurement", "revoke", "payments/1.0", "--reason", "the demo says so"])
            .await?;
        narrator.checked("countersign-proxy measurement revoke payments/1.0");

        let log = self.proxy.child.log().to_owned();
        let in_force = self.proxy.revocation_committed(clocks.wall);
        let committed = narrator.wait("the new policy in the proxy", SOON, &log, in_force).await?;
        let committed = clocks.steady_time(committed);
        let cut = |event| match event {
            Event::Cut { at, sent } => Some((at, sent)),
            Event::Request { .. } => None,
        };
        let (upstream, sent) =
            narrator.wait("the upstream to lose it", SOON, &log, self.upstream.next(cut)).await?;
        let enclave = self.enclave(A)?;
        let enclave_log = enclave.child.log().to_owned();
        let said = enclave.child.line("download: ");
        let (exit, curl) = narrator.wait("curl to notice", SOON, &enclave_log, said).await?;
        Failure::unless(exit != "exit 0", || Failure::new("curl to fail", exit.clone()).log(&enclave_log))?;

        for (who, at) in [("the upstream's socket", upstream), ("curl in the enclave", curl)] {
            let passed = at.saturating_duration_since(committed);
            Failure::unless(passed <= BOUND, || {
                let expected = format!("the cut at {who} at most {} ms after the commit", BOUND.as_millis());
                Failure::new(expected, format!("{} ms", passed.as_millis())).log(&log)
            })?;
            narrator.checked(format!("commit to cut, as seen by {who}: {} ms", passed.as_millis()));
        }
        narrator.says(format!("the upstream had written {sent} bytes; curl ended with {exit}"));
        self.nothing_new_opens(narrator).await
    }

    async fn nothing_new_opens(&mut self, narrator: &Narrator) -> Result<(), Failure> {
        let target = self.target.clone();
        let enclave = self.enclave(A)?;
        let log = enclave.child.log().to_owned();
        let (status, code) = enclave.asks_for(&target).await?;
        Failure::unless(status == 503 && code == REVOKED, || {
            Failure::new(format!("503 with {REVOKED}"), format!("{status} with {code:?}")).log(&log)
        })?;
        narrator.checked(format!("nothing new opens: {status} with the code {code}"));
        Ok(())
    }
}

/// The same moment on two clocks: the proxy tells wall-clock time, this process
/// measures with a clock that nobody sets.
struct Clocks {
    wall: OffsetDateTime,
    steady: Instant,
}

impl Clocks {
    fn read() -> Self {
        Self { wall: OffsetDateTime::now_utc(), steady: Instant::now() }
    }

    fn steady_time(&self, wall: OffsetDateTime) -> Instant {
        self.steady + (wall - self.wall).try_into().unwrap_or_default()
    }
}

/// DESIGN.md: "never over 1 s".
const BOUND: Duration = Duration::from_millis(1000);

const REVOKED: &str = "measurement-revoked";
