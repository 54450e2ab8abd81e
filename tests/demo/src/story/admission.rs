use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{SOON, Stage};
use crate::{enclave::FINDS_PROXY, failure::Failure, narrator::Narrator, proxy::Proxy, world::UNKNOWN_IMAGE};

impl Stage {
    /// Step 3: the lease goes on because the enclave proves itself again.
    pub(super) async fn enclave_a_attests_again(&mut self, narrator: &mut Narrator) -> Result<(), Failure> {
        narrator.step("Enclave A attests again, every 15 s");
        let log = self.proxy.child.log().to_owned();
        let first = narrator.wait("the session of enclave A", SOON, &log, attested(&self.proxy, 1)).await?;
        narrator
            .says(format!("session {}, attestation {}, lease {} s", first.id, first.sequence, first.lease));
        let since = Instant::now();
        let next = attested(&self.proxy, first.sequence + 1);
        let next = narrator.wait("the next attestation", AGAIN, &log, next).await?;
        Failure::unless(next.id == first.id, || {
            Failure::new(format!("session {} to go on", first.id), format!("session {}", next.id)).log(&log)
        })?;
        let waited = since.elapsed().as_secs();
        narrator
            .checked(format!("attestation {} came {waited} s later: same session, new lease", next.sequence));
        Ok(())
    }

    /// Step 4: one changed byte in the image, and nothing opens.
    pub(super) async fn enclave_b_is_refused(&mut self, narrator: &mut Narrator) -> Result<(), Failure> {
        narrator.step("Enclave B runs an image that nobody reviewed: other PCRs");
        let script = format!(
            "{FINDS_PROXY}\n\
             code=$(curl -s -o /dev/null -w '%{{http_connect}}' --max-time 20 https://{}/hello)\n\
             echo \"refused: exit $?, CONNECT $code\"\n\
             exec sleep infinity\n",
            self.target
        );
        let mut enclave = self.start(B, UNKNOWN_IMAGE, &script)?;
        let log = enclave.child.log().to_owned();
        let proxy_log = self.proxy.child.log().to_owned();
        narrator.wait("the application to start", SOON, &log, enclave.finds_proxy()).await?;

        let refusal = narrator.wait("the proxy's refusal", SOON, &proxy_log, refusal(&self.proxy)).await?;
        narrator.checked(format!("the proxy refuses: {}", refusal.code));
        for line in
            refusal.reason.replace("; found ", "\nfound ").replace(": expected ", "\nexpected ").lines()
        {
            narrator.says(line);
        }
        narrator.says("That stands in the proxy's log. The enclave is told the code, not what is allowed.");
        let said = enclave.child.line("refused: ");
        let (said, _) = narrator.wait("curl's verdict", SOON, &log, said).await?;
        let expected = "exit 56, CONNECT 503";
        Failure::unless(said == expected, || Failure::new(expected, said.clone()).log(&log))?;
        narrator.checked("its curl gets 503 from its own local proxy and gives up");

        let answer = enclave.asks_for(&self.target).await?;
        let expected = (503, refusal.code.clone());
        Failure::unless(answer == expected, || {
            Failure::new(format!("{expected:?} from the local proxy"), format!("{answer:?}")).log(&log)
        })?;
        narrator.checked(format!("with the code {}, so that the application knows why", answer.1));
        self.enclaves.push(enclave);
        Ok(())
    }
}

struct Seen {
    id: String,
    sequence: u64,
    lease: u64,
}

/// Returns when enclave A's session has attested at least so often.
async fn attested(proxy: &Proxy, sequence: u64) -> Result<Seen, Failure> {
    loop {
        let sessions = proxy.sessions("1.0").await?;
        let number = |session: &Value, key: &str| session[key].as_u64().unwrap_or_default();
        if let Some(session) = sessions.iter().find(|session| number(session, "sequence") >= sequence) {
            return Ok(Seen {
                id: session["id"].as_str().unwrap_or_default().to_owned(),
                sequence: number(session, "sequence"),
                lease: number(session, "lease_seconds"),
            });
        }
        sleep(LOOK_AGAIN).await;
    }
}

struct Refused {
    code: String,
    reason: String,
}

/// Returns when the proxy's log has a refusal by PCRs.
async fn refusal(proxy: &Proxy) -> Result<Refused, Failure> {
    loop {
        let lines = proxy.log_lines()?;
        let text = |line: &Value, key: &str| line[key].as_str().map(str::to_owned);
        let found =
            lines.iter().find(|line| line["code"].as_str().is_some_and(|code| code.starts_with("pcr")));
        if let Some(line) = found {
            let reason = text(line, "reason").unwrap_or_default();
            return Ok(Refused { code: text(line, "code").unwrap_or_default(), reason: shortened(&reason) });
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// PCRs cut to their beginning: 96 digits tell a reader no more than 8.
fn shortened(reason: &str) -> String {
    let word = |word: &str| {
        let digits = word.trim_end_matches([',', ';']);
        match digits.get(..8) {
            Some(start) if digits.len() == 96 => word.replace(digits, &format!("{start}…")),
            _ => word.to_owned(),
        }
    };
    reason.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

const B: &str = "enclave-b";

/// The interval of 15 s, and room for a busy machine.
const AGAIN: Duration = Duration::from_secs(40);

/// Each look is a command.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
