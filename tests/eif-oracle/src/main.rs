//! `eif-oracle make FOLDER` makes the fixtures; `eif-oracle describe FILE` prints what AWS's library says of any image.

use eif_oracle::{Failure, Recipe, Signer, Signing, describe};
use std::fs;
use std::path::Path;

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", folder] => make(Path::new(folder)),
        ["describe", file] => {
            println!("{:#}", describe(Path::new(file))?);
            Ok(())
        }
        _ => Err("usage: eif-oracle make FOLDER | describe FILE".into()),
    }
}

/// Writes each image with its description beside it.
fn make(folder: &Path) -> Result<(), Failure> {
    let scratch = std::env::temp_dir().join(format!("eif-oracle-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    fs::create_dir_all(folder)?;
    let (signer, other) = (Signer::new("fixture")?, Signer::new("another fixture with a longer name")?);
    let mut bundle = Signer::new("bundle")?;
    bundle.certificate_file = in_a_bundle(&bundle.certificate_file, &other.certificate_file);
    let recipe = |ramdisks: usize, signing| Recipe {
        kernel: b"a kernel that boots nowhere".to_vec(),
        cmdline: "reboot=k panic=30 pci=off nomodules console=ttyS0".to_owned(),
        ramdisks: (0..ramdisks).map(|index| format!("ramdisk {index}").into_bytes()).collect(),
        flags: 0,
        signing,
    };
    let bare =
        Recipe { cmdline: String::new(), ramdisks: vec![Vec::new(), Vec::new()], ..recipe(0, Signing::Not) };
    let images = [
        ("plain", recipe(2, Signing::Not)),
        ("aarch64", Recipe { flags: 1, ..recipe(2, Signing::Not) }),
        ("no-ramdisk", recipe(0, Signing::Not)),
        ("one-ramdisk", recipe(1, Signing::Not)),
        ("empty-sections", bare),
        ("thirty-two-sections", recipe(29, Signing::Not)),
        ("signed", recipe(2, Signing::Built(&signer))),
        ("signed-later", recipe(2, Signing::Later(&signer))),
        ("signed-again", recipe(2, Signing::Again(&signer, &other))),
        ("signed-with-a-bundle", recipe(2, Signing::Built(&bundle))),
    ];
    for (name, recipe) in images {
        let image = folder.join(name).with_extension("eif");
        let built = recipe.build(&image, &scratch)?;
        let description = describe(&image)?;
        assert_eq!(
            description["Measurements"],
            serde_json::json!(built),
            "{name}: its builder and reader differ"
        );
        fs::write(image.with_extension("json"), format!("{description:#}\n"))?;
        println!("{name}: {} bytes", fs::metadata(&image)?.len());
    }
    fs::remove_dir_all(&scratch)?;
    Ok(())
}

/// As people keep certificates: text before it, lines as Windows ends them, the issuer behind it.
fn in_a_bundle(certificate: &[u8], issuer: &[u8]) -> Vec<u8> {
    let text = [b"subject=CN = bundle\n\n", certificate, b"\nsubject=CN = issuer\n", issuer].concat();
    String::from_utf8_lossy(&text).replace('\n', "\r\n").into_bytes()
}
