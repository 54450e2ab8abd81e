//! A peer's configuration: what is believed of it, when, and by which clock.

use std::{
    fs,
    process::Command,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use countersign_enclave::{
    egress::{Connection, Way},
    peers::{
        NsmTime, PeerIdentity, SignedTime,
        config::{ConfigSource, ConfigText, ConfigWatch, Pin, Standing},
    },
};
use countersign_protocol::peer::{PeerConfig, Serial, Validity};
use countersign_simulator::Module;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex},
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    party::Party,
    rig::{Callee, Caller, Directory, PATIENCE, Signer, World, config, now_ms},
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
    let at = countersign_verifier::UnixMillis::from_millis(now * 1000);
    watched.time.note(SignedTime { at, came: Instant::now() });
    assert_eq!(watched.look(), Ok(Serial(3)));
}

/// A roll-out is prepared: what is signed for later waits for its time beside what counts now.
#[tokio::test]
async fn one_that_does_not_count_yet_leaves_the_one_before_in_force_until_its_time() {
    let mut watched = Watched::new("", |world| world.signer.pin()).await;
    let now = now_ms() / 1000;
    let from = |serial, from| {
        let mut fields = worker(serial).fields().clone();
        fields.validity = Validity::new(from, now + 3600).unwrap();
        PeerConfig::new(fields).unwrap()
    };
    let first = watched.world.signer.sign(from(1, now - 600));
    let second = watched.world.signer.sign(from(2, now + 600));
    tokio::time::pause();
    assert_eq!(watched.put(&first), Ok(Serial(1)));
    assert_eq!(watched.put(&second), Ok(Serial(1)));
    // Taken back before its time, and put there again.
    assert_eq!(watched.put(&first), Ok(Serial(1)));
    assert_eq!(watched.put(&second), Ok(Serial(1)));
    tokio::time::advance(Duration::from_secs(598)).await;
    assert_eq!(watched.look(), Ok(Serial(1)));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(watched.look(), Ok(Serial(2)));
    // From now on it is the least that counts.
    assert_eq!(watched.put(&first), Ok(Serial(2)));
}

/// Whoever can write a ConfigMap can put a pipe there, which nobody ever writes to.
#[tokio::test]
async fn a_pipe_in_the_files_place_is_not_waited_for() {
    let mut watched = Watched::new("", |world| world.signer.pin()).await;
    let file = watched.directory.file();
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let looked = tokio::task::spawn_blocking(move || (watched.look(), watched));
    let looked = timeout(PATIENCE / 10, looked).await;
    // Whoever does wait for a writer gets one, so that the test ends.
    drop(fs::OpenOptions::new().read(true).write(true).open(&file));
    let (looked, _watched) = looked.expect("no wait for a writer").unwrap();
    assert_eq!(looked, Err("peer-config-missing"));
}

/// The other side holds back what it sends: our time is still that of our document.
#[tokio::test]
async fn a_peer_that_delays_does_not_set_the_clock_back() {
    let world = World::new();
    let (driver, worker) = (Module::from_image("driver"), Module::from_image("worker"));
    let one = Party::new(&world, driver.clone(), config(1, &[&worker], &[]));
    let other = Party::new(&world, worker, config(1, &[&driver], &[]));
    let ((near, from_near), (to_far, far)) = (duplex(65_536), duplex(65_536));
    tokio::time::pause();
    tokio::spawn(async move { other.take(far).await.map(drop) });
    tokio::spawn(delay(from_near, to_far));
    let proven = one.dial(near).await.unwrap();
    let time = NsmTime::default();
    time.note(proven.at);
    // Its challenge let us make our document; its proof and its acceptance came later.
    let elapsed = proven.at.later(Instant::now()).since(proven.at.at);
    assert!((2 * DELAY..3 * DELAY).contains(&elapsed), "{elapsed:?}");
    assert_eq!(time.now_secs(), Some((proven.at.at.as_millis() + elapsed.as_millis() as u64) / 1000));
}

/// Each piece from the far end comes later.
async fn delay(near: DuplexStream, far: DuplexStream) {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (tokio::io::split(near), tokio::io::split(far));
    let later = async {
        let mut piece = vec![0; 65_536];
        while let Ok(read @ 1..) = far_read.read(&mut piece).await {
            tokio::time::sleep(DELAY).await;
            if near_write.write_all(&piece[..read]).await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::join!(copy(&mut near_read, &mut far_write), later);
}

const DELAY: Duration = Duration::from_secs(4);

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
