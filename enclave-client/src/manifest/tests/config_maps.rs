//! Names of destinations that stand in files of ConfigMaps.

use super::*;

/// The rule that comes of a reference into this file, or the mistake.
fn look_up(kind: &str, reference: &str, file: &str) -> Result<String, String> {
    let read = |path: &Path| {
        assert_eq!(path, Path::new("m/k"));
        Ok(file.as_bytes().to_vec())
    };
    let files = Files { beside: &|_| Err(io::ErrorKind::NotFound.into()), config_maps: Some(&read) };
    let text = format!(
        "- {{ port: 1, fqdn: {{ configMap: {{ name: m, key: k, type: {kind}, ref: '{reference}' }} }} }}\n"
    );
    match Manifest::parse_with(&text, &files) {
        Ok(manifest) => Ok(manifest.rules[0].target.to_string()),
        Err(ManifestError::Mistakes(mistakes)) => Err(mistakes[0].to_string()),
        Err(other) => panic!("{other:?}"),
    }
}

const YAML: &str =
    "pipeline:\n  outputs:\n    - host: first.example\n    - host: second.example\n      port: 5\n";
const JSON: &str = r#"{"pipeline": {"outputs": [{"host": "first.example"}, {"host": "second.example", "port": 5}], "0": {"host": "key.example"}}}"#;
const INI: &str = "# a comment\nhost = top.example\n[output]\nName=es\n  Host : out.example\n; host = no.example\nHost = \"last.example\"\n[empty]\nhost =\n";

#[test]
fn references_lead_to_names() {
    for (kind, reference, file, name) in [
        ("yaml", "pipeline#outputs#0#host", YAML, "first.example"),
        ("yaml", "pipeline#outputs#1#host", YAML, "second.example"),
        // YAML 1.2 holds JSON.
        ("yaml", "pipeline#outputs#1#host", JSON, "second.example"),
        ("json", "pipeline#outputs#0#host", JSON, "first.example"),
        ("json", "pipeline#0#host", JSON, "key.example"),
        ("ini", "host", INI, "top.example"),
        ("ini", "output#Host", INI, "last.example"),
    ] {
        assert_eq!(look_up(kind, reference, file).as_deref(), Ok(name), "{kind} {reference}");
    }
}

#[test]
fn what_leads_nowhere_has_its_place() {
    for (kind, reference, file, mistake) in [
        (
            "yaml",
            "pipeline#outputs#2#host",
            YAML,
            "1:69: [0].fqdn.configMap.ref: m/k has no text at \"pipeline#outputs#2#host\"",
        ),
        (
            "yaml",
            "pipeline#outputs#1#port",
            YAML,
            "1:69: [0].fqdn.configMap.ref: m/k has no text at \"pipeline#outputs#1#port\"",
        ),
        ("yaml", "pipeline", YAML, "1:69: [0].fqdn.configMap.ref: m/k has no text at \"pipeline\""),
        (
            "json",
            "pipeline#outputs#-1#host",
            JSON,
            "1:69: [0].fqdn.configMap.ref: m/k has no text at \"pipeline#outputs#-1#host\"",
        ),
        (
            "json",
            "a",
            "{",
            "1:49: [0].fqdn.configMap.key: m/k: EOF while parsing an object at line 1 column 1",
        ),
        ("yaml", "a", "a: [", "1:49: [0].fqdn.configMap.key: m/k: 1:4: unclosed bracket"),
        ("ini", "empty#host", INI, "1:68: [0].fqdn.configMap.ref: m/k has no text at \"empty#host\""),
        ("ini", "a#b#c", INI, "1:68: [0].fqdn.configMap.ref: m/k has no text at \"a#b#c\""),
        ("ini", "output#host", INI, "1:68: [0].fqdn.configMap.ref: m/k has no text at \"output#host\""),
        // What stands there is judged as any name is.
        ("ini", "host", "host = a b", "1:68: [0].fqdn.configMap.ref: host is no DNS name"),
        ("ini", "host", "host = *.example", "1:68: [0].fqdn.configMap.ref: host is no DNS name"),
    ] {
        let found = look_up(kind, reference, file).unwrap_err();
        assert!(found.starts_with(mistake), "{found}\n{mistake}");
    }
}

#[test]
fn a_missing_file_and_a_missing_directory_are_mistakes() {
    let text = "- { port: 1, fqdn: { configMap: { name: m, key: k, type: ini, ref: a } } }\n";
    assert_eq!(
        mistakes(text),
        ["1:33: [0].fqdn.configMap: needs --config-maps DIR, with the file DIR/name/key in it"]
    );
    let read: &ReadFile<'_> = &|_| Err(io::ErrorKind::NotFound.into());
    let Err(ManifestError::Mistakes(found)) =
        Manifest::parse_with(text, &Files { beside: read, config_maps: Some(read) })
    else {
        panic!("accepted")
    };
    assert_eq!(found[0].to_string(), "1:49: [0].fqdn.configMap.key: m/k cannot be read: entity not found");
}

#[test]
fn all_mistakes_of_a_reference_are_told_at_once() {
    let text = "- { port: 1, fqdn: { configMap: { name: ../m, key: ../k, type: xml, ref: 5 } } }\n";
    assert_eq!(
        mistakes(text),
        [
            "1:33: [0].fqdn.configMap: needs --config-maps DIR, with the file DIR/name/key in it",
            "1:41: [0].fqdn.configMap.name: expected letters, digits, hyphens, underscores and dots",
            "1:52: [0].fqdn.configMap.key: expected letters, digits, hyphens, underscores and dots",
            "1:64: [0].fqdn.configMap.type: expected yaml, json or ini, found \"xml\"",
            "1:74: [0].fqdn.configMap.ref: expected a text, found a number",
        ]
    );
}
