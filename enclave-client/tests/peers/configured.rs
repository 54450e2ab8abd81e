//! A peer's configuration: what is believed of it, when, and by which clock.

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use countersign_enclave::{
    egress::{Connection, Way},
    peers::{
        NsmTime, PeerIdentity,
        config::{ConfigSource, ConfigText, ConfigWatch, Pin, Standing},
    },
};
use countersign_protocol::peer::{PeerConfig, Serial, Validity};
use countersign_simulator::Module;
use tokio::sync::watch;

use crate::{
    rig::{Callee, Caller, Directory, Signer, World, config, now_ms},
    road::Road,
};

fn worker(serial: u64) -> PeerConfig {
    config(serial, &[&Module::from_image("worker")], &[7076])
}

struct Watched {
    world: World,
    directory: Directory,
    watch: ConfigWatch,
    standing: watch::Receiver<Standing>,
    time: Arc<NsmTime>,
}

impl Watched {
    async fn new(text: &str, pin: impl FnOnce(&World) -> Pin) -> Self {
        let world = World::new();
        let directory = Directory::new();
        directory.put(text);
        let time = Arc::new(NsmTime::default());
        let (device, _) = world.device(Module::from_image("driver"));
        time.ask(&device, &PeerIdentity::generate().unwrap()).await.unwrap();
        let source = ConfigSource { path: directory.file(), pin: pin(&world) };
        let (watch, standing) = ConfigWatch::new(source, world.verifiers(), time.clone());
        Self { world, directory, watch, standing, time }
    }

    /// A file put in its place and looked at: the serial in force, or why there is none.
    fn put(&mut self, text: &str) -> Result<Serial, &'static str> {
        self.directory.put(text);
        self.look()
    }

    fn look(&mut self) -> Result<Serial, &'static str> {
        self.watch.look();
        self.standing.borrow().as_ref().map(|trusted| trusted.serial()).map_err(|why| why.code())
    }
}

#[tokio::test]
async fn only_the_pinned_signer_is_believed_and_never_an_older_serial() {
    let mut watched = Watched::new("", |world| world.signer.pin()).await;
    assert_eq!(watched.look(), Err("peer-config-invalid"));
    fs::remove_file(watched.directory.file()).unwrap();
    assert_eq!(watched.look(), Err("peer-config-missing"));

    // Nothing is in force yet, so each reason shows.
    let forged = Signer::new().sign(worker(9));
    assert_eq!(watched.put(&forged), Err("peer-config-signature"));
    let unsigned = ConfigText { config: worker(9), signature: None }.write();
    assert_eq!(watched.put(&unsigned), Err("peer-config-not-signed"));
    let good = watched.world.signer.sign(worker(5));
    let altered = good.replace("[7076]", "[7076, 22]");
    assert_ne!(altered, good);
    assert_eq!(watched.put(&altered), Err("peer-config-signature"));

    // From the first good one on, a bad one leaves it in force.
    assert_eq!(watched.put(&good), Ok(Serial(5)));
    let mut put = |config: PeerConfig| {
        let text = watched.world.signer.sign(config);
        watched.put(&text)
    };
    assert_eq!(put(worker(4)), Ok(Serial(5)), "rolled back");
    let same_serial = config(5, &[&Module::from_image("mallory")], &[7076]);
    assert_eq!(put(same_serial), Ok(Serial(5)), "another file under the same serial");
    assert_eq!(put(worker(6)), Ok(Serial(6)));
    assert_eq!(put(worker(5)), Ok(Serial(6)), "rolled back to what was good once");
    assert_eq!(watched.put(&forged), Ok(Serial(6)));
    fs::remove_file(watched.directory.file()).unwrap();
    assert_eq!(watched.look(), Ok(Serial(6)));
}

#[tokio::test]
async fn a_pinned_hash_means_this_file_and_no_other() {
    let text = ConfigText { config: worker(5), signature: None }.write();
    let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()));
    let mut watched = Watched::new(&text, |_| Pin::sha256_from_hex(&hash).unwrap()).await;
    assert_eq!(watched.look(), Ok(Serial(5)));
    let signed = watched.world.signer.sign(worker(6));
    assert_eq!(watched.put(&signed), Ok(Serial(5)));
    let mut watched = Watched::new(&format!("{text}\n"), |_| Pin::sha256_from_hex(&hash).unwrap()).await;
    assert_eq!(watched.look(), Err("peer-config-hash"));
}

#[tokio::test]
async fn its_time_is_judged_by_the_nsm_and_ends_while_nobody_touches_the_file() {
    let mut watched = Watched::new("", |world| world.signer.pin()).await;
    let now = now_ms() / 1000;
    let lasting = |serial, from, until| {
        let mut fields = worker(serial).fields().clone();
        fields.validity = Validity::new(from, until).unwrap();
        PeerConfig::new(fields).unwrap()
    };
    let text = watched.world.signer.sign(lasting(1, now + 600, now + 700));
    assert_eq!(watched.put(&text), Err("peer-config-not-yet"));
    let text = watched.world.signer.sign(lasting(2, now - 700, now - 600));
    assert_eq!(watched.put(&text), Err("peer-config-ended"));
    tokio::time::pause();
    let text = watched.world.signer.sign(lasting(3, now - 600, now + 600));
    assert_eq!(watched.put(&text), Ok(Serial(3)));
    tokio::time::advance(Duration::from_secs(590)).await;
    assert_eq!(watched.look(), Ok(Serial(3)));
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(watched.look(), Err("peer-config-ended"));
    // The NSM's word counts, not what the monotonic clock has made of it.
    watched.time.note(countersign_verifier::UnixMillis::from_millis(now * 1000));
    assert_eq!(watched.look(), Ok(Serial(3)));
}

#[tokio::test]
async fn without_a_time_nothing_counts() {
    let world = World::new();
    let directory = Directory::new();
    directory.put(&world.signer.sign(worker(1)));
    let source = ConfigSource { path: directory.file(), pin: world.signer.pin() };
    let (mut watch, standing) = ConfigWatch::new(source, world.verifiers(), Arc::default());
    watch.look();
    assert_eq!(standing.borrow().as_ref().unwrap_err().code(), "no-time");
}

/// The two hypervisors' clocks are what is compared: a minute apart is allowed for, ten are not, on either side.
#[tokio::test]
async fn nsm_clocks_ten_minutes_apart_are_refused_and_half_a_minute_is_not() {
    let world = World::new();
    let (driver, worker) = (Module::from_image("driver"), Module::from_image("worker"));
    let callee = Callee::start(&world, worker.clone(), config(1, &[&driver], &[])).await;
    let road = Road::to(callee.socket.clone()).await;
    for (off_s, code) in
        [(600, Some("document-from-the-future")), (-600, Some("document-too-old")), (30, None), (-30, None)]
    {
        callee.nsm.off_ms.store(off_s * 1000, Ordering::SeqCst);
        let caller = Caller::start(&world, driver.clone(), &road, &[&worker]).await;
        let opened = caller.open().await;
        assert_eq!(opened.as_ref().err().map(|why| why.code()), code, "{off_s} s");
        assert_eq!(matches!(opened.as_ref().map(Connection::inner), Ok(Way::Peer(_))), code.is_none());
    }
}

#[tokio::test]
async fn a_port_that_the_configuration_does_not_name_is_not_called() {
    let world = World::new();
    let (driver, worker) = (Module::from_image("driver"), Module::from_image("worker"));
    let callee = Callee::start(&world, worker.clone(), config(1, &[&driver], &[])).await;
    let road = Road::to(callee.socket.clone()).await;
    let text = world.signer.sign(config(1, &[&worker], &[1]));
    let caller = Caller::believing(&world, driver, &road, &text, world.signer.pin()).await;
    assert_eq!(caller.refused().await, "peer-port");
    assert_eq!(road.taken(), 0);
}
