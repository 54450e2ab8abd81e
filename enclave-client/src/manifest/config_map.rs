//! A destination's name that stands in a file of a ConfigMap (OBLV's older form).
//!
//! A ConfigMap is a directory, a key of it a file, as Kubernetes mounts them.
//! `ref` is the way to the name: keys, and indexes of lists, joined by `#`; in an
//! INI file `section#key`, or `key` before the first section.

use std::path::PathBuf;

use super::{
    Files, Mistake,
    node::{self, At, Node},
    raw,
};

/// The name, or `None` and a mistake.
pub(super) fn resolve(
    map: &raw::ConfigMap,
    files: &Files<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<At<String>> {
    match look_up(map, files) {
        Ok(value) => Some(At { value, place: map.reference.place }),
        Err(mistake) => {
            mistakes.push(mistake);
            None
        }
    }
}

fn look_up(map: &raw::ConfigMap, files: &Files<'_>) -> Result<String, Mistake> {
    let wrong = |field: &str, at: &At<String>, message: String| {
        at.place.mistake(format!("{}.{field}", map.path), message)
    };
    for (field, at) in [("name", &map.name), ("key", &map.key)] {
        if !is_file_name(&at.value) {
            let message = "expected letters, digits, hyphens, underscores and dots".to_owned();
            return Err(wrong(field, at, message));
        }
    }
    let Some(read) = files.config_maps else {
        return Err(map
            .place
            .mistake(&map.path, "needs --config-maps DIR, with the file DIR/name/key in it"));
    };
    let file = PathBuf::from(&map.name.value).join(&map.key.value);
    let text = read(&file).map_err(|why| why.to_string());
    let text = text.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned()));
    let text =
        text.map_err(|why| wrong("key", &map.key, format!("{} cannot be read: {why}", file.display())))?;
    let steps: Vec<&str> = map.reference.value.split('#').collect();
    let found = match map.kind.value.as_str() {
        "json" => in_json(&text, &steps),
        "ini" => Ok(in_ini(&text, &steps)),
        _ => in_yaml(&text, &steps),
    };
    let found = found.map_err(|why| wrong("key", &map.key, format!("{}: {why}", file.display())))?;
    found.ok_or_else(|| {
        let message = format!("{} has no text at {:?}", file.display(), map.reference.value);
        wrong("ref", &map.reference, message)
    })
}

/// What Kubernetes allows for names and keys; nothing that leads out of the directory.
pub(super) fn is_file_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != ".."
}

fn in_yaml(text: &str, steps: &[&str]) -> Result<Option<String>, String> {
    let tree = node::parse(text).map_err(|mistake| mistake.to_string())?;
    let mut node = &tree.value;
    for step in steps {
        let next = match node {
            Node::Map(entries) => entries.iter().find(|(name, _)| name.value == *step).map(|(_, node)| node),
            Node::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        match next {
            Some(next) => node = &next.value,
            None => return Ok(None),
        }
    }
    Ok(match node {
        Node::Text(text) => Some(text.clone()),
        _ => None,
    })
}

fn in_json(text: &str, steps: &[&str]) -> Result<Option<String>, String> {
    let root: serde_json::Value = serde_json::from_str(text).map_err(|why| why.to_string())?;
    let mut value = Some(&root);
    for step in steps {
        value = value.and_then(|value| match value {
            serde_json::Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            other => other.get(step),
        });
    }
    Ok(value.and_then(serde_json::Value::as_str).map(str::to_owned))
}

/// `key = value` or `key: value` below `[section]`; the last of several counts, as it does to Python's and Go's
/// readers. Comments are whole lines.
fn in_ini(text: &str, steps: &[&str]) -> Option<String> {
    let (section, key) = match steps {
        [key] => ("", *key),
        [section, key] => (*section, *key),
        _ => return None,
    };
    let mut here = "";
    let mut found = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            here = name.trim();
        } else if let Some((name, value)) = line.split_once(['=', ':'])
            && here == section
            && name.trim() == key
        {
            found = Some(value.trim().trim_matches('"').to_owned());
        }
    }
    found.filter(|value| !value.is_empty())
}
