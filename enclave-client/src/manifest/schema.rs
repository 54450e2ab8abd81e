//! The manifest as a JSON Schema (draft 2020-12), for editors: made from the
//! tables that the reader goes by.

use serde_json::{Map, Value, json};

use super::{
    shape::{Default, Effect, Field, Kind, Need, TYPE, Table, World},
    words::{OUTBOUND_LIST, TOP},
};

/// The whole schema.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Countersign manifest",
        "description": TOP.doc,
        "anyOf": [of_kind(&Kind::Map(&TOP)), of_kind(&OUTBOUND_LIST)],
    })
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Word(words) => json!({"enum": words}),
        Kind::Truth => json!({"type": "boolean"}),
        Kind::Number { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::List(item) => json!({"type": "array", "items": of_kind(item)}),
        Kind::Map(table) => of_table(table),
        Kind::Either(plain, table) => json!({"anyOf": [of_kind(plain), of_table(table)]}),
        Kind::Texts => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Kind::Foreign => json!({}),
    }
}

fn of_table(table: &'static Table) -> Value {
    let properties: Map<_, _> =
        table.fields.iter().map(|field| (field.name.to_owned(), of_field(field))).collect();
    let required: Vec<_> =
        table.fields.iter().filter(|field| field.need == Need::Required).map(|field| field.name).collect();
    let mut object = json!({
        "type": "object",
        "description": table.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    let mut put = |name: &str, value: Value| {
        if let Some(object) = object.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    };
    if !required.is_empty() {
        put("required", json!(required));
    }
    if !table.one_of.is_empty() {
        put("oneOf", table.one_of.iter().map(|set| choice(table, set)).collect());
    }
    if let Some(field) = table.field(TYPE)
        && let Kind::Word(words) = field.kind
        && let Default::Word(default) = field.default
    {
        put("allOf", words.iter().map(|word| for_type(table, word, default)).collect());
    }
    if std::ptr::eq(table, &TOP) {
        put("anyOf", version_rule(table));
    }
    object
}

fn of_field(field: &Field) -> Value {
    let mut value = of_kind(&field.kind);
    if field.may_be_empty() && !matches!(field.kind, Kind::Foreign) {
        value = json!({"anyOf": [value, {"type": "null"}]});
    }
    let Some(object) = value.as_object_mut() else { return value };
    let whose = match field.world {
        World::Enclaver => "Enclaver",
        World::Oblv => "OBLV",
        World::Ours => "Countersign",
    };
    let effect = match field.effect {
        Effect::Here => String::new(),
        Effect::Elsewhere => " Read by whoever builds or starts the image, not in the enclave.".to_owned(),
        Effect::Nothing(why) => format!(" Without effect in this version: {why}."),
    };
    object.insert("description".to_owned(), json!(format!("{}{effect} ({whose})", field.doc)));
    match field.default {
        Default::None => {}
        Default::Number(number) => drop(object.insert("default".to_owned(), json!(number))),
        Default::Word(word) => drop(object.insert("default".to_owned(), json!(word))),
    }
    value
}

/// All of this set, and nothing of the others.
fn choice(table: &Table, set: &[&str]) -> Value {
    let others = table.one_of.iter().copied().flatten().filter(|name| !set.contains(name));
    json!({"required": set, "not": {"anyOf": requires(others)}})
}

/// What an entry of this type must have, and what only others may.
fn for_type(table: &'static Table, word: &'static str, default: &str) -> Value {
    let fields = || table.fields.iter();
    let required: Vec<_> = fields().filter(|field| is_required_of(field, word)).map(|f| f.name).collect();
    let is_others = |field: &&Field| match field.need {
        Need::Of(of) | Need::RequiredOf(of) => !of.contains(&word),
        Need::Optional | Need::NeverEmpty | Need::Required => false,
    };
    let others: Vec<_> = fields().filter(is_others).map(|field| &field.name).collect();
    let mut condition = json!({"properties": {TYPE: {"const": word}}});
    if word != default
        && let Some(condition) = condition.as_object_mut()
    {
        condition.insert("required".to_owned(), json!([TYPE]));
    }
    let mut then = json!({"required": required});
    // "None of nothing" is no schema (JSON Schema 2020-12, section 10.2.1.2).
    if !others.is_empty()
        && let Some(then) = then.as_object_mut()
    {
        then.insert("not".to_owned(), json!({"anyOf": requires(others.into_iter())}));
    }
    json!({"if": condition, "then": then})
}

fn is_required_of(field: &Field, word: &str) -> bool {
    matches!(field.need, Need::RequiredOf([first, ..]) if *first == word)
}

/// `version`, or OBLV's words and none of Enclaver's.
fn version_rule(table: &'static Table) -> Value {
    let of = |world| table.fields.iter().filter(move |field| field.world == world).map(|field| &field.name);
    let oblv = requires(of(World::Oblv));
    json!([{"required": ["version"]}, {"anyOf": oblv, "not": {"anyOf": requires(of(World::Enclaver))}}])
}

fn requires<'a>(names: impl Iterator<Item = &'a &'static str>) -> Value {
    names.map(|name| json!({"required": [name]})).collect()
}
