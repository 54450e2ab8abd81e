//! Destinations, as they stand in CONNECT and in rules.

use crate::recipe::Recipe;
use countersign_protocol::{AddressClass, Destination, Host, classify, unmap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Any text as a destination.
pub fn raw(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
    }
}

/// Every spelling of an address is that address; every spelling of a name is that name.
pub fn structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let (host, expected) = match recipe.number(0..=2) {
        0 => name(&mut recipe),
        1 => v4(&mut recipe),
        _ => v6(&mut recipe),
    };
    let port = recipe.number(1..=65_535) as u16;
    let width = recipe.size(0..=5);
    let text = format!("{host}:{port:0width$}");
    let destination = check(&text).unwrap_or_else(|| panic!("{text} is refused"));
    assert_eq!((destination.host(), destination.port()), (&expected, port), "{text}");
}

/// What holds for any text. Gives the destination when it is one.
fn check(text: &str) -> Option<Destination> {
    let destination = match text.parse::<Destination>() {
        Ok(destination) => destination,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
            return None;
        }
    };
    let normal = destination.to_string();
    assert_eq!(normal.parse().as_ref(), Ok(&destination), "{normal} is not stable");
    assert!(
        normal.is_ascii()
            && !normal.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_whitespace()),
        "{normal:?}"
    );
    assert_ne!(destination.port(), 0);
    match destination.host() {
        Host::Name(name) => is_a_name(name),
        Host::Address(address) => {
            assert_eq!(unmap(*address), *address, "an IPv4 address in IPv6 clothes");
            is_that_address(text, *address);
            spelt_in_ipv6(*address);
        }
    }
    other_spellings(text, &destination);
    Some(destination)
}

/// Nothing that any reader would take for an address is left as a name.
fn is_a_name(name: &str) {
    assert!((1..=253).contains(&name.len()), "{name}");
    for label in name.split('.') {
        assert!(
            (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'),
            "{name}"
        );
        assert!(label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')), "{name}");
    }
    assert!(name.parse::<IpAddr>().is_err(), "{name}");
    let last = name.rsplit('.').next().unwrap_or_default();
    assert!(!last.bytes().all(|byte| byte.is_ascii_digit()), "{name} ends in a number");
    // The WHATWG's reader, as browsers have it.
    assert_eq!(
        url::Host::parse(name),
        Ok(url::Host::Domain(name.to_owned())),
        "{name} is read otherwise by others"
    );
}

/// What is taken for an IPv4 address is the same one to the WHATWG's reader.
fn is_that_address(text: &str, address: IpAddr) {
    let host = text.rsplit_once(':').map(|(host, _)| host).unwrap_or_default();
    if let IpAddr::V4(v4) = address
        && !host.starts_with('[')
    {
        assert_eq!(url::Host::parse(host), Ok(url::Host::Ipv4(v4)), "{host} is read otherwise by others");
    }
}

/// RFC 1035 section 2.3.3: names do not differ by case; a dot at the end changes nothing.
fn other_spellings(text: &str, destination: &Destination) {
    assert_eq!(
        text.to_ascii_uppercase().parse().as_ref(),
        Ok(destination),
        "upper case is another destination"
    );
    assert_eq!(
        text.to_ascii_lowercase().parse().as_ref(),
        Ok(destination),
        "lower case is another destination"
    );
    if let Some((host, port)) = text.rsplit_once(':')
        && host.len() < 1_000
        && host.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric())
    {
        assert_eq!(
            format!("{host}.:{port}").parse().as_ref(),
            Ok(destination),
            "a dot makes another destination"
        );
        assert!(format!("{host}..:{port}").parse::<Destination>().is_err(), "an empty label");
    }
}

/// An IPv4 address is of the same class in each form that carries it inside IPv6.
fn spelt_in_ipv6(address: IpAddr) {
    let IpAddr::V4(v4) = address else { return };
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    for v6 in [
        v4.to_ipv6_mapped(),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
    ] {
        assert_eq!(classify(v6.into()), classify(address), "{v6} for {v4}");
    }
    let is_special = v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_unspecified();
    assert!(!is_special || classify(address) != AddressClass::Ordinary, "{v4}");
}

/// Labels of letters, in any case, with or without a dot at the end.
fn name(recipe: &mut Recipe<'_>) -> (String, Host) {
    let labels: Vec<String> = (0..recipe.size(1..=6))
        .map(|_| {
            let length = recipe.size(1..=40);
            recipe
                .pick(&["kms", "a1", "x-y", "_q"])
                .chars()
                .chain("z".chars().cycle())
                .take(length)
                .collect::<String>()
                + "z"
        })
        .collect();
    let normal = labels.join(".");
    let dot = recipe.pick(&[".", "。", "．"]);
    let spelt = labels.iter().map(|label| cased(recipe, label)).collect::<Vec<_>>().join(dot);
    let end = recipe.pick(&["", "."]);
    (spelt + end, Host::Name(normal.into()))
}

fn cased(recipe: &mut Recipe<'_>, text: &str) -> String {
    if recipe.pick(&[false, true]) { text.to_uppercase() } else { text.to_owned() }
}

/// inet_aton(3): one to four numbers, each decimal, octal or hexadecimal, the last one filling what is left.
fn v4(recipe: &mut Recipe<'_>) -> (String, Host) {
    let address = Ipv4Addr::from(recipe.own::<4>());
    let count = recipe.size(1..=4);
    let mut parts: Vec<u32> = address.octets().into_iter().take(count - 1).map(u32::from).collect();
    let left = 32 - 8 * parts.len() as u32;
    parts.push(address.to_bits() & (u32::MAX >> (32 - left)));
    let spelt: Vec<String> = parts
        .into_iter()
        .map(|part| {
            let width = recipe.size(1..=20);
            match recipe.number(0..=3) {
                0 => format!("{part}"),
                1 => format!("0{part:0width$o}"),
                2 => format!("0x{part:0width$x}"),
                _ => format!("0X{part:0width$X}"),
            }
        })
        .collect();
    (spelt.join("."), Host::Address(address.into()))
}

fn v6(recipe: &mut Recipe<'_>) -> (String, Host) {
    let address = match recipe.number(0..=2) {
        0 => Ipv6Addr::from(recipe.own::<16>()),
        1 => Ipv4Addr::from(recipe.own::<4>()).to_ipv6_mapped(),
        _ => Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, recipe.number(0..=0xffff) as u16),
    };
    let spelt = match recipe.number(0..=2) {
        0 => format!("[{address}]"),
        1 => format!("[{}]", address.segments().map(|segment| format!("{segment:04X}")).join(":")),
        _ => format!("[{}]", address.to_string().to_uppercase()),
    };
    (spelt, Host::Address(unmap(address.into())))
}
