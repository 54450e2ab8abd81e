use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    LoadError, OuterLimit, load,
    load::{Fingerprint, fingerprints},
};

/// Keeps the limit that the files say in force.
pub struct LimitWatch {
    paths: Vec<PathBuf>,
    seen: Vec<Fingerprint>,
    /// What was read may be older than what was seen: a file can change twice within one tick
    /// of the file system's clock. So each change is read a second time.
    settled: bool,
    /// The last complaint, which is not repeated every second.
    complaint: Option<String>,
    limit: watch::Sender<Arc<OuterLimit>>,
}

impl LimitWatch {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`LoadError`]: nothing is in force that could be kept.
    pub fn start(paths: Vec<PathBuf>) -> Result<(Self, watch::Receiver<Arc<OuterLimit>>), LoadError> {
        let seen = fingerprints(&paths)?;
        let (limit, receiver) = watch::channel(Arc::new(load(&paths)?));
        Ok((Self { paths, seen, settled: false, complaint: None, limit }, receiver))
    }

    /// Looks after the files every second, and at once when `hurry` says so (SIGHUP).
    pub async fn run(mut self, mut hurry: watch::Receiver<()>, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                let forced = tokio::select! {
                    _ = ticks.tick() => false,
                    Ok(()) = hurry.changed() => true,
                };
                let looked = tokio::task::spawn_blocking(move || {
                    self.look(forced);
                    self
                });
                match looked.await {
                    Ok(same) => self = same,
                    Err(_) => return,
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    /// Reads again what changed. What cannot be read changes nothing.
    pub fn look(&mut self, forced: bool) {
        let seen = match fingerprints(&self.paths) {
            Ok(seen) => seen,
            Err(why) => return self.complain(&why),
        };
        if seen == self.seen && self.settled && !forced {
            return;
        }
        self.settled = seen == self.seen;
        self.seen = seen;
        match load(&self.paths) {
            Ok(limit) => self.put_in_force(limit),
            Err(why) => self.complain(&why),
        }
    }

    fn put_in_force(&mut self, limit: OuterLimit) {
        self.complaint = None;
        let same = match (&**self.limit.borrow(), &limit) {
            (OuterLimit::RuleSets(old), OuterLimit::RuleSets(new)) => old.rules() == new.rules(),
            _ => false,
        };
        if same {
            return;
        }
        info!(code = "egress-rules-loaded", rules = limit.rules(), "new egress rule sets are in force");
        self.limit.send_replace(Arc::new(limit));
    }

    fn complain(&mut self, why: &LoadError) {
        let complaint = why.to_string();
        if self.complaint.as_ref() == Some(&complaint) {
            return;
        }
        for line in why.lines() {
            error!(code = "egress-rules-invalid", "{line}; the rules of before stay in force");
        }
        self.complaint = Some(complaint);
    }
}

const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        path::Path,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    /// A directory of its own, removed at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name =
                format!("countersign-rules-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn set(target: &str) -> String {
        format!(
            "apiVersion: zalando.org/v1\nkind: EgressRuleSet\nmetadata: {{ name: s }}\nspec:\n  targets:\n  - {target}\n"
        )
    }

    fn write(dir: &Path, file: &str, target: &str) {
        fs::write(dir.join(file), set(target)).unwrap();
    }

    fn passes(limit: &watch::Receiver<Arc<OuterLimit>>, destination: &str) -> bool {
        limit.borrow().judge(&destination.parse().unwrap()).is_ok()
    }

    #[test]
    fn changes_come_into_force_and_mistakes_do_not() {
        let dir = Dir::new();
        write(&dir.0, "a.yaml", "a.example:443");
        write(&dir.0, ".hidden.yaml", "hidden.example:443");
        fs::write(dir.0.join("README"), "no rule set").unwrap();
        let (mut watch, limit) = LimitWatch::start(vec![dir.0.clone()]).unwrap();
        assert!(passes(&limit, "a.example:443") && !passes(&limit, "hidden.example:443"));

        write(&dir.0, "b.yml", "*.b.example:80");
        watch.look(false);
        assert!(passes(&limit, "a.example:443") && passes(&limit, "x.b.example:80"));

        // One file of two is wrong: both stay as they were.
        write(&dir.0, "b.yml", "b.example:*");
        write(&dir.0, "a.yaml", "c.example:443");
        watch.look(false);
        assert!(passes(&limit, "a.example:443") && passes(&limit, "x.b.example:80"));
        assert!(!passes(&limit, "c.example:443"));
        let line = format!(
            "{}:6: target \"b.example:*\" has a wildcard for its port",
            dir.0.join("b.yml").display()
        );
        assert!(watch.complaint.as_ref().unwrap().starts_with(&line), "{:?}", watch.complaint);

        fs::remove_file(dir.0.join("b.yml")).unwrap();
        watch.look(false);
        assert!(passes(&limit, "c.example:443") && !passes(&limit, "a.example:443"));
        assert!(!passes(&limit, "x.b.example:80") && watch.complaint.is_none());

        // The last set gone: nothing passes. The directory gone: somebody unmounts it, nothing changes.
        write(&dir.0, "a.yaml", "d.example:443");
        watch.look(false);
        fs::remove_dir_all(&dir.0).unwrap();
        watch.look(false);
        assert!(passes(&limit, "d.example:443"));
        fs::create_dir_all(&dir.0).unwrap();
        watch.look(false);
        assert!(!passes(&limit, "d.example:443"));
    }

    #[test]
    fn a_mounted_config_map_is_followed() {
        let dir = Dir::new();
        let version = |number: &str, target: &str| {
            fs::create_dir(dir.0.join(number)).unwrap();
            write(&dir.0.join(number), "set.yaml", target);
        };
        // As the kubelet does it: links to ..data/*, and ..data a link that is swapped at once.
        version("..v1", "one.example:443");
        version("..v2", "two.example:443");
        symlink("..v1", dir.0.join("..data")).unwrap();
        symlink("..data/set.yaml", dir.0.join("set.yaml")).unwrap();
        let (mut watch, limit) = LimitWatch::start(vec![dir.0.clone()]).unwrap();
        assert!(passes(&limit, "one.example:443"));
        symlink("..v2", dir.0.join("..new")).unwrap();
        fs::rename(dir.0.join("..new"), dir.0.join("..data")).unwrap();
        watch.look(false);
        assert!(passes(&limit, "two.example:443") && !passes(&limit, "one.example:443"));
    }

    #[test]
    fn connections_are_told_only_of_what_differs() {
        let dir = Dir::new();
        write(&dir.0, "a.yaml", "a.example:443");
        let (mut watch, mut limit) = LimitWatch::start(vec![dir.0.join("a.yaml")]).unwrap();
        limit.mark_unchanged();
        watch.look(true);
        assert!(!limit.has_changed().unwrap());
        write(&dir.0, "a.yaml", "b.example:443");
        watch.look(true);
        assert!(limit.has_changed().unwrap());
    }

    #[test]
    fn without_files_nothing_starts_and_without_sets_nothing_passes() {
        let dir = Dir::new();
        let missing = LimitWatch::start(vec![dir.0.join("missing.yaml")]).err().unwrap();
        assert!(matches!(missing, LoadError::Read(..)), "{missing}");
        let (_, limit) = LimitWatch::start(vec![dir.0.clone()]).unwrap();
        assert!(!passes(&limit, "a.example:443"));
        let (_, limit) = LimitWatch::start(Vec::new()).unwrap();
        assert!(!passes(&limit, "a.example:443"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_every_second() {
        let dir = Dir::new();
        write(&dir.0, "a.yaml", "a.example:443");
        let (watch, mut limit) = LimitWatch::start(vec![dir.0.clone()]).unwrap();
        let (_hurry, hurried) = watch::channel(());
        let stop = CancellationToken::new();
        let running = tokio::spawn(watch.run(hurried, stop.clone()));
        limit.mark_unchanged();
        write(&dir.0, "a.yaml", "b.example:443");
        limit.changed().await.unwrap();
        assert!(passes(&limit, "b.example:443"));
        stop.cancel();
        running.await.unwrap();
    }
}
