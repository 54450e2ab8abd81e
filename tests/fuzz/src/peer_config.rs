//! A peer's configuration, in YAML, and the ConfigMap around it.

use countersign_enclave::peers::config::{
    CONFIG_KEY, ConfigText, MAX_CONFIG, config_map, find_in_config_map, is_config_map,
};
use countersign_protocol::peer::{ConfigSignature, PeerConfig};

/// Any bytes as a configuration: what is accepted keeps every bound, and is the same when it is written and read
/// again, bare or in a ConfigMap. So its canonical form, which is signed, is the same too.
pub fn raw(bytes: &[u8]) {
    if is_config_map(bytes)
        && let Ok(inner) = find_in_config_map(bytes)
    {
        read(inner.as_bytes());
    }
    read(bytes);
}

fn read(bytes: &[u8]) {
    match ConfigText::parse(bytes) {
        Ok(text) => accepted(&text, bytes.len()),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
        }
    }
}

fn accepted(text: &ConfigText, len: usize) {
    assert!(len <= MAX_CONFIG);
    let fields = text.config.fields();
    assert!((1..=PeerConfig::MAX_MEASUREMENTS).contains(&fields.measurements.len()));
    assert!(fields.ports.len() <= PeerConfig::MAX_PORTS);
    assert!(fields.validity.from() <= fields.validity.until());
    for measurement in &fields.measurements {
        assert!(measurement.pcrs().len() >= 3);
        assert!(measurement.pcrs().all(|(index, _)| index <= 31));
        assert!(measurement.pcrs().take(3).any(|(_, value)| *value != [0; 48]), "debug mode");
    }
    if let Some(signature) = &text.signature {
        assert!((1..=ConfigSignature::MAX).contains(&signature.bytes.len()));
    }
    let written = text.write();
    // Hexadecimal and quotes may make it longer than a file may be.
    if written.len() <= MAX_CONFIG {
        let again = ConfigText::parse(written.as_bytes());
        assert_eq!(again.as_ref(), Ok(text));
        let again = again.expect("just compared");
        assert_eq!(again.config.canonical(), text.config.canonical());
        let map = config_map("name", &written);
        if map.len() <= MAX_CONFIG {
            assert_eq!(find_in_config_map(map.as_bytes()).as_ref(), Ok(&written), "{CONFIG_KEY}");
        }
    }
}
