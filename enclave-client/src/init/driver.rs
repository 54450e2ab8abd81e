use std::{fs::File, io, path::Path};

use rustix::{io::Errno, system::finit_module};

use super::Step;

/// Loads the NSM's driver from the image, where the kernel does not have it built
/// in. AWS's init does the same with the same file.
pub(super) fn load() -> io::Result<Step> {
    if Path::new(DEVICE).exists() || !Path::new(MODULE).exists() {
        return Ok(Step::NotNeeded);
    }
    match finit_module(File::open(MODULE)?, c"", 0) {
        Ok(()) => Ok(Step::Done(format!("{MODULE} loaded"))),
        Err(Errno::EXIST) => Ok(Step::NotNeeded),
        Err(why) => Err(why.into()),
    }
}

const DEVICE: &str = "/dev/nsm";
const MODULE: &str = "/nsm.ko";
