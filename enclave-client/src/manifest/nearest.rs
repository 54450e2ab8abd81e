/// The known name that `word` was most likely meant to be, if any is near.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let word = plain(word);
    let near = known.iter().map(|name| (distance(&word, &plain(name)), *name)).min()?;
    (near.0 <= 1 + word.len() / 4).then_some(near.1)
}

/// Levenshtein's distance, with two neighbours that changed places as one slip; of names of at most 64 bytes.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > MAX_NAME {
        return usize::MAX;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let (mut before_last, mut last) = (Vec::new(), (0..=b.len()).collect::<Vec<_>>());
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && (a[i - 1], a[i]) == (b[j], b[j - 1]) {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["fqdn", "port", "proxyUrl", "attestationPort", "tls"];
        assert_eq!(nearest("fdqn", &known), Some("fqdn"));
        assert_eq!(nearest("fqdm", &known), Some("fqdn"));
        assert_eq!(nearest("tsl", &known), Some("tls"));
        assert_eq!(nearest("lst", &known), None);
        assert_eq!(nearest("proxy_url", &known), Some("proxyUrl"));
        assert_eq!(nearest("proxyURL", &known), Some("proxyUrl"));
        assert_eq!(nearest("attestatonport", &known), Some("attestationPort"));
        assert_eq!(nearest("memory", &known), None);
        assert_eq!(nearest(&"x".repeat(5000), &known), None);
    }
}
