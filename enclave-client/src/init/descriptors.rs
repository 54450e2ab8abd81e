use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Step;

/// Raises the limit of open files to [`WANTED`], or as far as the system lets us.
/// The application inherits it.
///
/// A connection costs two, so the usual 1024 are gone with five hundred of them.
/// No more than that, though: programs exist that close every descriptor up to the limit.
pub(super) fn raise_limit() -> io::Result<Step> {
    let found = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= WANTED);
    if enough(found.current) {
        return Ok(Step::NotNeeded);
    }
    let within =
        Rlimit { current: if enough(found.maximum) { Some(WANTED) } else { found.maximum }, ..found };
    let beyond = Rlimit { current: Some(WANTED), maximum: Some(WANTED) };
    // A kernel starts its first process with a maximum of 4096; root may lift it (setrlimit(2)).
    let lifted = !enough(found.maximum) && setrlimit(Resource::Nofile, beyond).is_ok();
    if !lifted {
        setrlimit(Resource::Nofile, within)?;
    }
    let now = getrlimit(Resource::Nofile).current;
    if now == found.current {
        return Ok(Step::NotNeeded);
    }
    let say = |limit: Option<u64>| limit.map_or("any number".to_owned(), |limit| limit.to_string());
    Ok(Step::Done(format!("{} open files instead of {}", say(now), say(found.current))))
}

/// Room for the connections of every limit of this program together.
const WANTED: u64 = 131_072;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_there_is_nothing_to_do() {
        let before = getrlimit(Resource::Nofile).current;
        raise_limit().unwrap();
        assert_eq!(raise_limit().unwrap(), Step::NotNeeded);
        assert!(getrlimit(Resource::Nofile).current >= before);
    }
}
