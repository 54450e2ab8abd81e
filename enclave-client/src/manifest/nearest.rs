/// The known name that `word` was most likely meant to be, if any is near.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let word = plain(word);
    let near = known.iter().map(|name| (distance(&word, &plain(name)), *name)).min()?;
    (near.0 <= 1 + word.len() / 4).then_some(near.1)
}

/// Levenshtein's distance, of names of at most 64 bytes.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > MAX_NAME {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["fqdn", "port", "proxyUrl", "attestationPort"];
        assert_eq!(nearest("fdqn", &known), Some("fqdn"));
        assert_eq!(nearest("fqdm", &known), Some("fqdn"));
        assert_eq!(nearest("proxy_url", &known), Some("proxyUrl"));
        assert_eq!(nearest("proxyURL", &known), Some("proxyUrl"));
        assert_eq!(nearest("attestatonport", &known), Some("attestationPort"));
        assert_eq!(nearest("memory", &known), None);
        assert_eq!(nearest(&"x".repeat(5000), &known), None);
    }
}
