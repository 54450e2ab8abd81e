//! Where the enclave's client dials: `tcp:`, `unix:` or `vsock:`.

use countersign_enclave::transport::{Dial, parse_vsock};

/// Any text as an address to dial.
pub fn raw(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some((cid, port)) = parse_vsock(text) {
        assert!(cid != u32::MAX && port != u32::MAX, "a wildcard");
        assert_eq!(parse_vsock(&format!("{cid}:{port}")), Some((cid, port)));
    }
    match text.parse::<Dial>() {
        Ok(Dial::Unix(path)) => assert!(path.is_absolute() && path.as_os_str().len() <= 107, "{path:?}"),
        Ok(Dial::Vsock { cid, port }) => assert!(cid != u32::MAX && port != u32::MAX, "a wildcard"),
        Ok(Dial::Tcp(destination)) => assert_eq!(destination.to_string().parse().as_ref(), Ok(&destination)),
        Ok(Dial::Host { .. }) => panic!("no text means that"),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
        }
    }
}
