use std::path::PathBuf;

use super::{SOON, Stage};
use crate::{
    enclave::{Enclave, FINDS_PROXY, UPSTREAM_AUTHORITY, check_curl},
    failure::Failure,
    narrator::Narrator,
    programs::Programs,
    proxy::Proxy,
    upstream::{Event, GREETING, STREAM, Upstream},
    world::{IMAGES, UPSTREAM_NAME, World},
};

impl Stage {
    /// Step 1: a folder, a root, certificates, an upstream, a proxy.
    pub(super) async fn open(narrator: &mut Narrator, directory: Option<PathBuf>) -> Result<Self, Failure> {
        narrator.step("A proxy, a simulated root of trust, and an upstream");
        let programs = Programs::find()?;
        let curl = check_curl().await?;
        let world = World::create(directory)?;
        narrator.says(format!("Everything of this story lies in {}", world.directory().display()));

        world.make_root_and_measurements(&programs).await?;
        narrator.checked(format!("a simulated root, and the measurements of {}", IMAGES.join(" and ")));
        narrator.says("In production that root is Amazon's, and a release build knows no other.");

        let upstream = Upstream::start(UPSTREAM_NAME, &world.path(UPSTREAM_AUTHORITY)).await?;
        let target = format!("{UPSTREAM_NAME}:{}", upstream.address.port());
        narrator.checked(format!("an HTTPS upstream, {target}, in this process; {curl} will be its visitor"));

        world.make_certificate(&programs).await?;
        let configuration = world.write_configuration(upstream.address)?;
        let mut proxy = Proxy::start(&programs, &world, configuration)?;
        let log = proxy.child.log().to_owned();
        narrator.wait("the proxy to listen", SOON, &log, proxy.ready(&world)).await?;
        let (attestation, gateway) = (proxy.attestation, proxy.gateway);
        narrator.checked(format!(
            "countersign-proxy: attestation on port {attestation}, gateway on port {gateway}"
        ));
        Ok(Self { programs, world, upstream, target, proxy, page: None, enclaves: Vec::new() })
    }

    /// Step 2: the application knows nothing, and gets through.
    pub(super) async fn enclave_a_reaches_the_upstream(
        &mut self,
        narrator: &mut Narrator,
    ) -> Result<(), Failure> {
        narrator.step("Enclave A runs payments 1.0; its application is an unmodified curl");
        let mut enclave = self.start(A, IMAGES[0], &self.script_of_a())?;
        let log = enclave.child.log().to_owned();
        let local = narrator.wait("the application to start", SOON, &log, enclave.finds_proxy()).await?;
        narrator.checked(format!("the application finds https_proxy=http://{local} in its environment"));

        let said = enclave.child.line("hello: ");
        let (answer, _) = narrator.wait("curl's first answer", SOON, &log, said).await?;
        let expected = format!("exit 0, {}", GREETING.trim_end());
        Failure::unless(answer == expected, || Failure::new(expected.clone(), answer.clone()).log(&log))?;
        narrator.checked(format!("curl https://{}/hello says: {}", self.target, GREETING.trim_end()));

        let request = |event| match event {
            Event::Request { path } => Some(path),
            Event::Cut { .. } => None,
        };
        let seen = narrator.wait("the upstream to see it", SOON, &log, self.upstream.next(request)).await?;
        Failure::unless(seen == "/hello", || {
            Failure::new("a request for /hello at the upstream", seen.clone())
        })?;
        narrator.checked("the upstream saw that request; TLS runs from curl to it, the proxy carries bytes");

        let seen = narrator.wait("the streaming download", SOON, &log, self.upstream.next(request)).await?;
        Failure::unless(seen == STREAM, || {
            Failure::new("a request for /stream at the upstream", seen.clone())
        })?;
        narrator.checked("a download without end begins, in a tunnel of its own");
        self.enclaves.push(enclave);
        Ok(())
    }

    /// Starts an enclave of the story.
    pub(super) fn start(&self, name: &'static str, image: &str, script: &str) -> Result<Enclave, Failure> {
        Enclave::start(name, image, script, &self.programs, &self.world, &self.proxy, self.upstream.address)
    }

    /// Says hello, then downloads for ever; when that breaks off, asks once more.
    fn script_of_a(&self) -> String {
        let file = self.world.path(DOWNLOAD);
        let (target, file) = (&self.target, file.display());
        format!(
            "{FINDS_PROXY}\n\
             answer=$(curl -sS --retry 5 --retry-all-errors --max-time 20 https://{target}/hello)\n\
             echo \"hello: exit $?, $answer\"\n\
             curl -sS --no-buffer -o '{file}' https://{target}{STREAM}\n\
             echo \"download: exit $?\"\n\
             exec sleep infinity\n"
        )
    }
}

/// The enclave that is admitted and revoked.
pub(super) const A: &str = "enclave-a";

/// What its endless download wrote so far.
pub(super) const DOWNLOAD: &str = "enclaves/download.bin";
