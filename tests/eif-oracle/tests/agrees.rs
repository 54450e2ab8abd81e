//! Our reader beside AWS's, over images of random content.

use countersign_verifier::EnclaveImage;
use eif_oracle::{Recipe, Signer, Signing};
use std::fs::{self, File};

#[test]
fn ours_measures_what_awss_library_measures() {
    let scratch = std::env::temp_dir().join(format!("eif-oracle-test-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let image = scratch.join("image.eif");
    let (signer, other) =
        (Signer::new("a").unwrap(), Signer::new("a much longer name than the first").unwrap());
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    for round in 0..150 {
        let recipe = Recipe {
            kernel: random.bytes(),
            cmdline: "x".repeat(random.below(300)),
            ramdisks: (0..1 + random.below(5)).map(|_| random.bytes()).collect(),
            flags: random.below(2) as u16,
            signing: match round % 5 {
                0 => Signing::Built(&signer),
                1 => Signing::Later(&other),
                2 => Signing::Again(&signer, &other),
                _ => Signing::Not,
            },
        };
        let theirs = recipe.build(&image, &scratch).unwrap();
        let ours = EnclaveImage::read(File::open(&image).unwrap()).unwrap();
        let printed: Vec<_> = ours.pcrs().iter().map(|(i, v)| (i.to_string(), v.to_string())).collect();
        let expected: Vec<_> = theirs.into_iter().filter(|(key, _)| key.starts_with("PCR")).collect();
        assert_eq!(printed, expected, "round {round}");
        assert_eq!(ours.is_signed(), round % 5 < 3);
    }
    fs::remove_dir_all(&scratch).unwrap();
}

/// The same numbers in each run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit
    }

    /// Mostly short, sometimes longer than a buffer.
    fn bytes(&mut self) -> Vec<u8> {
        let most = if self.below(4) == 0 { 400_000 } else { 500 };
        let length = self.below(most);
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}
