//! The schema says what the reader does, and the committed file is the schema.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::manifest::{
    shape::{Kind, Table, path_of},
    words::{OUTBOUND_LIST, TOP},
};

#[test]
fn the_committed_schema_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manifest.schema.json");
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        committed == format!("{:#}\n", crate::manifest::schema()),
        "write it anew: countersign-enclave schema > docs/manifest.schema.json"
    );
}

/// Every path of the schema's properties, `[]` for an item.
fn paths_of_schema(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = path_of(path, name);
        found.insert(path.clone());
        paths_of_schema(value, &path, found);
    }
    if schema["items"].is_object() {
        paths_of_schema(&schema["items"], &format!("{path}[]"), found);
    }
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        paths_of_schema(one, path, found);
    }
}

fn paths_of_tables(kind: &Kind, path: &str, found: &mut BTreeSet<String>) {
    let table: &Table = match kind {
        Kind::Map(table) | Kind::Either(_, table) => table,
        Kind::List(item) => return paths_of_tables(item, &format!("{path}[]"), found),
        _ => return,
    };
    for field in table.fields {
        let path = path_of(path, field.name);
        found.insert(path.clone());
        paths_of_tables(&field.kind, &path, found);
    }
}

#[test]
fn the_schema_has_every_word_of_the_reader_and_no_other() {
    let mut schema = BTreeSet::new();
    paths_of_schema(&crate::manifest::schema(), "", &mut schema);
    let mut tables = BTreeSet::new();
    paths_of_tables(&Kind::Map(&TOP), "", &mut tables);
    paths_of_tables(&OUTBOUND_LIST, "", &mut tables);
    assert_eq!(schema, tables);
    // One of each level, so that this cannot pass by finding nothing.
    for path in [
        "version",
        "ingress[].tls.attested",
        "[].fqdn.configMap.ref",
        "outboundConnections[].transport.gateway",
    ] {
        assert!(schema.contains(path), "{path} in {schema:?}");
    }
}

/// The reader takes each word that the schema has: a text of only that word has no mistake about an unknown one.
#[test]
fn the_reader_takes_every_word_of_the_schema() {
    let mut paths = BTreeSet::new();
    paths_of_schema(&crate::manifest::schema(), "", &mut paths);
    for path in paths {
        let text = path.rsplit('.').fold("7".to_owned(), |inner, part| {
            let items = part.matches("[]").count();
            let name = part.trim_end_matches("[]");
            let list = format!("{}{inner}{}", "[".repeat(items), "]".repeat(items));
            if name.is_empty() { list } else { format!("{{{name}: {list}}}") }
        });
        let unknown = match parse(&text) {
            Err(ManifestError::Mistakes(found)) => {
                found.iter().any(|m| m.message.starts_with("unknown field"))
            }
            _ => false,
        };
        assert!(!unknown, "{path}: {text}");
    }
}
