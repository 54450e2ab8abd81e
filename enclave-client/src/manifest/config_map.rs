//! A destination's name that stands in a file of a ConfigMap (OBLV's older form).
//!
//! A ConfigMap is a directory, a key of it a file, as Kubernetes mounts them.
//! `ref` is the way to the name: keys, and indexes of lists, joined by `#`; in an
//! INI file `section#key`, or `key` before the first section.

use std::path::{Path, PathBuf};

use super::{
    Files, Mistake, ReadFile,
    node::{self, At, Node},
    raw,
};

/// The name, or `None` and at least one mistake.
pub(super) fn resolve(
    map: &raw::ConfigMap,
    files: &Files<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<At<String>> {
    let before = mistakes.len();
    for (field, at) in [("name", &map.name), ("key", &map.key)] {
        let path = || format!("{}.{field}", map.path);
        mistakes.extend(at.as_ref().and_then(|at| bad_file_name(at, path)));
    }
    if files.config_maps.is_none() {
        let message = "needs --config-maps DIR, with the file DIR/name/key in it";
        mistakes.push(map.place.mistake(&map.path, message));
    }
    let read = files.config_maps.filter(|_| mistakes.len() == before)?;
    let (name, key) = (map.name.as_ref()?, map.key.as_ref()?);
    let (kind, reference) = (map.kind.as_ref()?, map.reference.as_ref()?);
    let wrong = |field: &str, at: &At<String>, message: String| {
        at.place.mistake(format!("{}.{field}", map.path), message)
    };
    let file = PathBuf::from(&name.value).join(&key.value);
    let found = look_up(&file, read, &kind.value, &reference.value);
    let found = found.map_err(|why| wrong("key", key, format!("{}{why}", file.display())));
    let found = found.and_then(|found| {
        let nothing = || format!("{} has no text at {:?}", file.display(), reference.value);
        found.ok_or_else(|| wrong("ref", reference, nothing()))
    });
    let value = found.map_err(|mistake| mistakes.push(mistake)).ok()?;
    Some(At { value, place: reference.place })
}

/// What stands at the reference, if it is a text; or what is wrong with the file, to be said behind its name.
fn look_up(file: &Path, read: &ReadFile<'_>, kind: &str, reference: &str) -> Result<Option<String>, String> {
    let bytes = read(file).map_err(|why| format!(" cannot be read: {why}"))?;
    let text = String::from_utf8(bytes).map_err(|_| " cannot be read: is not UTF-8".to_owned())?;
    let steps: Vec<&str> = reference.split('#').collect();
    let found = match kind {
        "json" => in_json(&text, &steps),
        "ini" => Ok(in_ini(&text, &steps)),
        _ => in_yaml(&text, &steps),
    };
    found.map_err(|why| format!(": {why}"))
}

/// What is wrong with the name of a ConfigMap or of a key in one.
pub(super) fn bad_file_name(name: &At<String>, path: impl FnOnce() -> String) -> Option<Mistake> {
    let message = "expected letters, digits, hyphens, underscores and dots";
    (!is_file_name(&name.value)).then(|| name.place.mistake(path(), message))
}

/// What Kubernetes allows for names and keys; nothing that leads out of the directory.
fn is_file_name(text: &str) -> bool {
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
