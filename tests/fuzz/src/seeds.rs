//! Every seed through its target, and a few thousand inputs more: what a fuzzer would do, for a plain `cargo test`.

use crate::{TARGETS, Target};
#[cfg(feature = "programs")]
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[cfg(feature = "programs")]
#[test]
fn every_target_has_seeds_and_every_folder_a_target() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folders: BTreeSet<String> = fs::read_dir(folder(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, names);
    let binaries: BTreeSet<String> = fs::read_dir(folder("../fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(binaries, names);
    assert_eq!(names.len(), TARGETS.len(), "a name twice");
}

#[test]
fn every_seed_passes() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for (path, bytes) in seeds {
            run(*target, &bytes, &path.display().to_string());
        }
    }
}

#[test]
fn every_seed_passes_with_one_byte_changed_or_cut_off() {
    for (name, target) in TARGETS {
        let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
        for (path, bytes) in seeds(name) {
            for round in 0..ROUNDS {
                let mut changed = bytes.clone();
                let at = random.below(bytes.len() + 1);
                match changed.get_mut(at) {
                    Some(byte) if round % 4 != 0 => *byte = random.below(256) as u8,
                    _ => changed.truncate(at),
                }
                run(*target, &changed, &format!("{} round {round}: {changed:02x?}", path.display()));
            }
        }
    }
}

#[test]
fn noise_passes() {
    for (name, target) in TARGETS {
        let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
        for round in 0..ROUNDS * 20 {
            let bytes: Vec<u8> = (0..random.below(200)).map(|_| random.below(256) as u8).collect();
            run(*target, &bytes, &format!("{name} round {round}: {bytes:02x?}"));
        }
    }
}

/// Says which input it was when the target panics.
fn run(target: Target, bytes: &[u8], what: &str) {
    struct Blame<'w>(&'w str);
    impl Drop for Blame<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input: {}", self.0);
            }
        }
    }
    let blame = Blame(what);
    target(bytes);
    drop(blame);
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name)
}

/// The same numbers in each run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

const ROUNDS: usize = 50;
