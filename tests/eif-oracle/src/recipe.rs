use crate::{Failure, Signer};
use aws_nitro_enclaves_image_format::defs::{EifBuildInfo, EifIdentityInfo};
use aws_nitro_enclaves_image_format::utils::{EifBuilder, EifSigner};
use sha2::{Digest, Sha384};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

/// What goes into an image.
pub struct Recipe<'s> {
    /// The kernel's bytes.
    pub kernel: Vec<u8>,
    /// The kernel's command line.
    pub cmdline: String,
    /// The bytes of each ramdisk.
    pub ramdisks: Vec<Vec<u8>>,
    /// 1 for aarch64.
    pub flags: u16,
    /// Who signs it, and when.
    pub signing: Signing<'s>,
}

/// When an image is signed.
pub enum Signing<'s> {
    /// Never.
    Not,
    /// While it is built.
    Built(&'s Signer),
    /// After it was built, as `nitro-cli sign-eif` does.
    Later(&'s Signer),
    /// While it is built, and then by somebody else.
    Again(&'s Signer, &'s Signer),
}

impl Recipe<'_> {
    /// Builds the image with `EifBuilder`, as nitro-cli and eif_build do, and gives the measurements that it prints.
    pub fn build(&self, image: &Path, scratch: &Path) -> Result<BTreeMap<String, String>, Failure> {
        let input = |name: &str, bytes: &[u8]| {
            let path = scratch.join(name);
            fs::write(&path, bytes).map(|()| path)
        };
        let identity = EifIdentityInfo {
            img_name: "fixture".to_owned(),
            img_version: "1.0".to_owned(),
            build_info: EifBuildInfo {
                build_time: "2026-01-01T00:00:00+00:00".to_owned(),
                build_tool: "eif-oracle".to_owned(),
                build_tool_version: "0.1.0".to_owned(),
                img_os: "Linux".to_owned(),
                img_kernel: "none".to_owned(),
            },
            docker_info: serde_json::json!({ "RepoTags": ["fixture:1.0"] }),
            custom_info: serde_json::Value::Null,
        };
        let (first, second) = match self.signing {
            Signing::Not => (None, None),
            Signing::Built(signer) => (Some(signer), None),
            Signing::Later(signer) => (None, Some(signer)),
            Signing::Again(first, second) => (Some(first), Some(second)),
        };
        let mut builder = EifBuilder::new(
            &input("kernel", &self.kernel)?,
            self.cmdline.clone(),
            first.map(|signer| signer.key_data(scratch)).transpose()?,
            Sha384::new(),
            self.flags,
            identity,
        );
        for (index, ramdisk) in self.ramdisks.iter().enumerate() {
            builder.add_ramdisk(&input(&format!("ramdisk-{index}"), ramdisk)?);
        }
        let mut measurements = builder.write_to(&mut File::create(image)?);
        if let Some(signer) = second {
            let signer = EifSigner::new(Some(signer.key_data(scratch)?)).ok_or("no signer")?;
            signer.sign_image(image.to_str().ok_or("a path that is not UTF-8")?)?;
            measurements = crate::describe::measurements(image)?;
        }
        Ok(measurements)
    }
}
