use std::{borrow::Cow, collections::BTreeMap, fmt};

use countersign_protocol::egress::{Rule, RuleSetTarget};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

/// One `EgressRuleSet` (Zalando's, kubernetes-on-aws issue 198): a name and targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// `metadata.name`.
    pub name: String,
    /// Each with the line it stands on.
    pub targets: Vec<(RuleSetTarget, u64)>,
    /// The file it is from, for whoever asks which rule decided.
    pub file: String,
}

impl RuleSet {
    /// Its rules; each says where it is from.
    pub fn rules(&self) -> impl Iterator<Item = Rule> {
        self.targets.iter().flat_map(|(target, line)| {
            target.rules(&format!("EgressRuleSet {} ({}:{line})", self.name, self.file))
        })
    }
}

/// Reads every rule set of one file. Documents are separated by `---`; a `List`
/// (what `kubectl get -o yaml` writes) counts as its items.
///
/// # Errors
/// Every [`FileMistake`] of documents that are YAML; otherwise the first one.
pub fn parse(text: &str, file: &str) -> Result<Vec<RuleSet>, Vec<FileMistake>> {
    let text = quote_leading_stars(text);
    // What stands there counts, and no tag makes something else of it.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        ignore_binary_tag_for_string: true,
    };
    let documents: Vec<Document> = serde_saphyr::from_multiple_with_options(&text, options)
        .map_err(|error| vec![FileMistake::at(error.location(), why(error.without_snippet()))])?;
    let mut sets = Vec::new();
    let mut mistakes = Vec::new();
    for document in documents {
        document.read(file, &mut sets, &mut mistakes);
    }
    if mistakes.is_empty() { Ok(sets) } else { Err(mistakes) }
}

/// The parser's reason, in words for whoever writes rule sets.
fn why(error: &serde_saphyr::Error) -> String {
    if matches!(error, serde_saphyr::Error::UnknownAnchor { .. }) {
        return "a target that begins with * needs quotes here, since * begins a YAML alias: write '*.example.org:80'"
            .to_owned();
    }
    let words = error.render_with_formatter(&UserMessageFormatter);
    let words = words.lines().next().unwrap_or("not YAML");
    words.split(" at line ").next().unwrap_or(words).to_owned()
}

/// `- *.example.org:80`, as Zalando's own example has it, is an alias to YAML
/// and no text. Nobody means one here: such a line is read as if it had quotes.
fn quote_leading_stars(text: &str) -> Cow<'_, str> {
    if !text.contains('*') {
        return Cow::Borrowed(text);
    }
    let quoted = text.split_inclusive('\n').map(|line| {
        let item = line.trim_start_matches(' ');
        let indent = line.len() - item.len();
        let Some(value) = item.strip_prefix("- ") else { return Cow::Borrowed(line) };
        let star = value.trim_start_matches(' ');
        if !(star.starts_with("*.") || star.starts_with("*:")) {
            return Cow::Borrowed(line);
        }
        let end = star.find([' ', '\t', '\r', '\n']).unwrap_or(star.len());
        let (target, rest) = star.split_at(end);
        if target.contains('"') || target.contains('\\') {
            return Cow::Borrowed(line);
        }
        Cow::Owned(format!("{:indent$}- \"{target}\"{rest}", ""))
    });
    Cow::Owned(quoted.collect())
}

/// A Kubernetes object, as far as it is looked at. What the API server adds is let be.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "apiVersion")]
    api_version: Option<Spanned<String>>,
    kind: Option<Spanned<String>>,
    metadata: Option<Spanned<Metadata>>,
    spec: Option<Spanned<Spec>>,
    items: Option<Vec<Document>>,
}

#[derive(Deserialize)]
struct Metadata {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Spec {
    targets: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(flatten)]
    others: BTreeMap<String, serde::de::IgnoredAny>,
}

impl Document {
    fn read(self, file: &str, sets: &mut Vec<RuleSet>, mistakes: &mut Vec<FileMistake>) {
        let place = self.kind.as_ref().or(self.api_version.as_ref()).map(|word| word.referenced);
        let mut wrong =
            |place: Option<Location>, message: String| mistakes.push(FileMistake::at(place, message));
        let said = (
            self.api_version.as_ref().map(|w| w.value.as_str()),
            self.kind.as_ref().map(|w| w.value.as_str()),
        );
        if said == (Some("v1"), Some("List")) {
            for item in self.items.unwrap_or_default() {
                item.read(file, sets, mistakes);
            }
            return;
        }
        if said != (Some(API_VERSION), Some(KIND)) {
            let (version, kind) = (said.0.unwrap_or("nothing"), said.1.unwrap_or("nothing"));
            return wrong(
                place,
                format!("expected apiVersion {API_VERSION}, kind {KIND}; found {version}, {kind}"),
            );
        }
        let name = self.metadata.and_then(|metadata| metadata.value.name).filter(|name| is_object_name(name));
        if name.is_none() {
            wrong(place, "metadata.name: expected letters, digits, - and .".to_owned());
        }
        let Some(spec) = self.spec else { return wrong(place, "spec is missing".to_owned()) };
        for other in spec.value.others.keys() {
            wrong(Some(spec.referenced), format!("spec.{}: unknown field; known is targets", other));
        }
        let Some(targets) = spec.value.targets else {
            return wrong(
                Some(spec.referenced),
                "spec.targets is missing (write targets: [] for none)".to_owned(),
            );
        };
        if targets.value.len() > MAX_TARGETS {
            let message =
                format!("spec.targets has {} lines, the limit is {MAX_TARGETS}", targets.value.len());
            return wrong(Some(targets.referenced), message);
        }
        let mut parsed = Vec::new();
        for target in targets.value {
            match target.value.parse::<RuleSetTarget>() {
                Ok(rule) => parsed.push((rule, target.referenced.line())),
                Err(why) => {
                    let why = crate::attest::chain(&why);
                    wrong(Some(target.referenced), format!("target \"{}\" {why}", target.value));
                }
            }
        }
        if let Some(name) = name {
            sets.push(RuleSet { name, targets: parsed, file: file.to_owned() });
        }
    }
}

/// RFC 1123 subdomains, as Kubernetes names its objects.
fn is_object_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    (1..=253).contains(&name.len()) && name.bytes().all(plain)
}

const API_VERSION: &str = "zalando.org/v1";

const KIND: &str = "EgressRuleSet";

/// Lines of one set.
const MAX_TARGETS: usize = 10_000;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMistake {
    /// From 1; 0 where the parser knows no position.
    pub line: u64,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl FileMistake {
    fn at(place: Option<Location>, message: String) -> Self {
        Self { line: place.map_or(0, |place| place.line()), message: plain(&message) }
    }
}

/// A message quotes the file, and ends in a log: control characters are escaped.
fn plain(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for char in message.chars() {
        if char.is_control() { text.extend(char.escape_default()) } else { text.push(char) }
    }
    text
}

/// `4: what is wrong`
impl fmt::Display for FileMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the proposal has it, stars without quotes and all.
    const PROPOSAL: &str = r#"apiVersion: "zalando.org/v1"
kind: EgressRuleSet
metadata:
   name: my-app-targets
spec:
   targets:
   - mydependency1.example.com:443
   - mydependency2.example.com:443
   - *.example.org:80
---
apiVersion: "zalando.org/v1"
kind: EgressRuleSet
metadata:
   name: world-access
spec:
   targets:
   - *:80   # everything
"#;

    #[test]
    fn the_proposals_own_examples_are_read_as_they_are() {
        let sets = parse(PROPOSAL, "seed.yaml").unwrap();
        let rules: Vec<String> = sets.iter().flat_map(RuleSet::rules).map(|rule| rule.to_string()).collect();
        assert_eq!(
            rules,
            [
                "EgressRuleSet my-app-targets (seed.yaml:7): allow mydependency1.example.com:443",
                "EgressRuleSet my-app-targets (seed.yaml:8): allow mydependency2.example.com:443",
                "EgressRuleSet my-app-targets (seed.yaml:9): allow **.example.org:80",
                "EgressRuleSet world-access (seed.yaml:17): allow **:80",
                "EgressRuleSet world-access (seed.yaml:17): allow 0.0.0.0/0:80",
                "EgressRuleSet world-access (seed.yaml:17): allow [::/0]:80",
            ]
        );
        let quoted = PROPOSAL.replace("*.example.org:80", "\"*.example.org:80\"");
        assert_eq!(parse(&quoted, "seed.yaml").unwrap(), sets);
        assert_eq!(parse(&PROPOSAL.replace('\n', "\r\n"), "seed.yaml").unwrap(), sets);
    }

    fn mistakes(text: &str) -> Vec<String> {
        let mistakes = parse(text, "t").unwrap_err();
        mistakes.iter().map(FileMistake::to_string).collect()
    }

    #[test]
    fn every_mistake_names_its_line() {
        let text = "apiVersion: zalando.org/v1\nkind: EgressRuleSet\nmetadata: { name: a }\nspec:\n  targets:\n  \
                    - a.example\n  - a.example:*\n  - a.example:443\n  - *:*\n";
        assert_eq!(
            mistakes(text),
            [
                "6: target \"a.example\" lacks its port (write host:port; a rule set names each port)",
                "7: target \"a.example:*\" has a wildcard for its port: a rule set opens single ports, so that it \
                 shows what a cluster talks; write one line for each port",
                "9: target \"*:*\" has a wildcard for its port: a rule set opens single ports, so that it \
                 shows what a cluster talks; write one line for each port",
            ]
        );
        assert_eq!(
            mistakes("apiVersion: v1\nkind: ConfigMap\n"),
            ["2: expected apiVersion zalando.org/v1, kind EgressRuleSet; found v1, ConfigMap"]
        );
        assert_eq!(
            mistakes("apiVersion: zalando.org/v1\nkind: \"Egress\\e[2J\"\n"),
            [
                "2: expected apiVersion zalando.org/v1, kind EgressRuleSet; found zalando.org/v1, Egress\\u{1b}[2J"
            ]
        );
        let head = "apiVersion: zalando.org/v1\nkind: EgressRuleSet\n";
        assert_eq!(mistakes(&format!("{head}metadata: {{ name: a }}\n")), ["2: spec is missing"]);
        assert_eq!(
            mistakes(&format!("{head}metadata: {{ name: \"a\\nb\" }}\nspec: {{ target: [] }}\n")),
            [
                "2: metadata.name: expected letters, digits, - and .",
                "4: spec.target: unknown field; known is targets",
                "4: spec.targets is missing (write targets: [] for none)",
            ]
        );
    }

    #[test]
    fn what_is_no_yaml_says_what_to_write() {
        let head = "apiVersion: zalando.org/v1\nkind: EgressRuleSet\nmetadata: { name: a }\n";
        for (text, mistake) in [
            (
                "spec: { targets: [*.example.org:80] }\n",
                "4: a target that begins with * needs quotes here, since * begins a YAML alias: write '*.example.org:80'",
            ),
            ("spec: { targets: [!any a.example:80] }\n", "4: unsupported tag `!any`"),
            (
                "spec: { targets: [!!binary ZXZpbC5jb206NDQz] }\n",
                "4: target \"ZXZpbC5jb206NDQz\" lacks its port (write host:port; a rule set names each port)",
            ),
            ("kind: EgressRuleSet\n", "4: duplicate mapping key `kind` is not allowed here"),
        ] {
            assert_eq!(mistakes(&format!("{head}{text}")), [mistake]);
        }
    }

    #[test]
    fn what_kubectl_prints_is_read() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: zalando.org/v1\n  kind: EgressRuleSet\n  \
                    metadata: { name: a, uid: b, creationTimestamp: \"2017-02-01T00:00:00Z\" }\n  \
                    spec: { targets: [\"a.example:443\"] }\n  status: {}\n";
        let sets = parse(text, "t").unwrap();
        assert_eq!((sets.len(), sets[0].targets.len(), sets[0].targets[0].1), (1, 1, 7));
    }

    #[test]
    fn an_empty_file_is_no_set() {
        assert_eq!(parse("", "t"), Ok(Vec::new()));
        assert_eq!(parse("---\n---\n", "t"), Ok(Vec::new()));
    }

    #[test]
    fn only_a_target_that_begins_with_a_star_is_quoted() {
        for (line, read) in [
            ("- *.a:1", "- \"*.a:1\""),
            ("  -   *:1 # x\n", "  - \"*:1\" # x\n"),
            ("- *anchor\n", "- *anchor\n"),
            ("- '*:1'\n", "- '*:1'\n"),
            ("- *:1\"\n", "- *:1\"\n"),
            ("x: - *:1\n", "x: - *:1\n"),
        ] {
            assert_eq!(quote_leading_stars(line), read, "{line:?}");
        }
    }

    #[test]
    fn aliases_that_grow_are_refused() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let refs = vec![format!("*a{}", level - 1); 10].join(",");
            text.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
        }
        assert_eq!(parse(&text, "t").unwrap_err().len(), 1);
    }
}
