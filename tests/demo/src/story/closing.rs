use super::{SOON, Stage};
use crate::{
    enclave::FINDS_PROXY, failure::Failure, narrator::Narrator, programs::run, upstream::GREETING,
    world::IMAGES,
};

impl Stage {
    /// Step 6: the next release was allowed all along.
    pub(super) async fn enclave_c_stays(&mut self, narrator: &mut Narrator) -> Result<(), Failure> {
        narrator.step("Enclave C runs payments 2.0, which is still allowed");
        let script = format!(
            "{FINDS_PROXY}\n\
             answer=$(curl -sS --retry 5 --retry-all-errors --max-time 20 https://{}/hello)\n\
             echo \"hello: exit $?, $answer\"\n\
             exec sleep infinity\n",
            self.target
        );
        let mut enclave = self.start(C, IMAGES[1], &script)?;
        let log = enclave.child.log().to_owned();
        narrator.wait("the application to start", SOON, &log, enclave.finds_proxy()).await?;
        let said = enclave.child.line("hello: ");
        let (answer, _) = narrator.wait("curl's answer", SOON, &log, said).await?;
        let expected = format!("exit 0, {}", GREETING.trim_end());
        Failure::unless(answer == expected, || Failure::new(expected.clone(), answer.clone()).log(&log))?;
        narrator.checked("it is admitted, and its curl gets through");
        self.enclaves.push(enclave);
        let document = self.document_is_accepted().await?;
        narrator.checked(format!("countersign-verify accepts a document of that image: {document}"));
        self.proxy.command(&["audit", "verify"]).await?;
        narrator.checked("the audit of all this holds: hashes, checkpoints, heads (audit verify)");
        Ok(())
    }

    /// Prints what to try, and returns only if a program ends that should not.
    pub(super) async fn stays_up(&mut self, narrator: &Narrator) -> Result<(), Failure> {
        // Before it is said: whoever waits for the words finds the file.
        self.shows_the_page(narrator)?;
        narrator.ends("Everything stays up until Ctrl-C. Copy and try:");
        for (what, command) in self.commands()? {
            narrator.command(what, &command);
        }
        println!();
        let Self { proxy, enclaves, .. } = self;
        let enclaves = enclaves.iter_mut().map(|enclave| Box::pin(enclave.child.must_live()));
        let mut all: Vec<_> = enclaves.collect();
        all.push(Box::pin(proxy.child.must_live()));
        first_of(all).await
    }

    /// The commands that [`Self::stays_up`] shows.
    fn commands(&mut self) -> Result<Vec<(&'static str, String)>, Failure> {
        let local = self.enclave(C)?.local.ok_or_else(|| Failure::new("a local proxy", "none"))?;
        let Self { programs, world, target, proxy: running, .. } = self;
        let admin = running.admin;
        let path = |inner: &str| world.path(inner).display().to_string();
        let (proxy, config) = (programs.proxy.display(), path("countersign.toml"));
        let (simulator, verify) = (programs.simulator.display(), programs.verify.display());
        let (root, authority) = (path("root"), path(crate::enclave::UPSTREAM_AUTHORITY));
        let measurement = path(&format!("measurements/{}.json", IMAGES[1]));
        Ok(vec![
            ("reach the upstream as enclave C's application does", {
                format!("curl --proxy http://{local} --cacert {authority} https://{target}/hello")
            }),
            ("who is admitted", format!("{proxy} session list --config {config}")),
            ("what is allowed", format!("{proxy} measurement list --config {config}")),
            ("a document of enclave C's image, verified", {
                format!(
                    "{simulator} document --dir {root} --image {} | \
                     {verify} verify - --danger-root {root}/root.der --expect {measurement}",
                    IMAGES[1]
                )
            }),
            ("the same of another image: refused, with the reason", {
                format!(
                    "{simulator} document --dir {root} --image something-else | \
                     {verify} verify - --danger-root {root}/root.der --expect {measurement}"
                )
            }),
            ("a token for the admin API, and the API by curl", {
                let (token, anchor) = (path("token"), path("tls/ca.pem"));
                format!(
                    "{proxy} token create me --role viewer --expires 1h --config {config} > {token} && \
                     curl --cacert {anchor} -H \"Authorization: Bearer $(cat {token})\" \
                     https://localhost:{admin}/v1/sessions"
                )
            }),
            ("what revoking enclave C would end", {
                format!("{proxy} measurement revoke payments/2.0 --dry-run --config {config}")
            }),
            (
                "revoke it, with every replica's word that its tunnels are cut; then try the first command again",
                { format!("{proxy} measurement revoke payments/2.0 --wait 1s --config {config}") },
            ),
            ("who decided what", format!("{proxy} audit list --config {config}")),
            ("the logs", format!("tail -f {}/*.log", path("logs"))),
        ])
    }

    /// A fresh document of enclave C's image, through the real verifier.
    async fn document_is_accepted(&self) -> Result<String, Failure> {
        let Self { programs, world, .. } = self;
        let path = |inner: &str| world.path(inner).display().to_string();
        let (root, document) = (path("root"), path("enclaves/document.cbor"));
        run(&programs.simulator, &["document", "--dir", &root, "--image", IMAGES[1], "--output", &document])
            .await?;
        let (anchor, expect) =
            (format!("{root}/root.der"), path(&format!("measurements/{}.json", IMAGES[1])));
        run(&programs.verify, &["verify", &document, "--danger-root", &anchor, "--expect", &expect]).await?;
        Ok(document)
    }

    /// Stops everybody, the enclaves first: their tunnels end by themselves,
    /// and the proxy has nothing to wait for.
    pub(super) async fn close(self, narrator: &mut Narrator) -> Result<(), Failure> {
        narrator.step("Everybody leaves");
        let Self { proxy, enclaves, .. } = self;
        let children = enclaves.into_iter().map(|enclave| enclave.child).chain([proxy.child]);
        let mut outcome = Ok(());
        for child in children {
            let name = child.name();
            match child.stop().await {
                Ok(status) => narrator.checked(format!("{name} stopped ({status})")),
                Err(failure) => {
                    narrator.failed(&failure);
                    outcome = outcome.and(Err(failure));
                }
            }
        }
        outcome
    }
}

/// The first of these to be ready.
async fn first_of<T>(mut futures: Vec<std::pin::Pin<Box<impl Future<Output = T>>>>) -> T {
    std::future::poll_fn(|context| {
        let ready = futures.iter_mut().find_map(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        });
        ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}

const C: &str = "enclave-c";
