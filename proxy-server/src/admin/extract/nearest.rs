/// serde's message, and for an unknown name the nearest one it knows.
///
/// serde names what it expected, in backquotes after the name it found; a
/// message of another shape stays as it is.
pub(super) fn with_nearest(message: String) -> String {
    let hint = message.split_once("unknown field `").and_then(|(_, rest)| {
        let mut quoted = rest.split('`');
        let found = quoted.next()?;
        // Between the names stand ", expected one of " and ", ".
        let known = quoted.skip(1).step_by(2);
        let (distance, nearest) = known.map(|name| (distance(found, name), name)).min()?;
        (distance <= found.len().max(3) / 2).then(|| format!("; did you mean `{nearest}`?"))
    });
    message + hint.unwrap_or_default().as_str()
}

/// How many letters are changed, added or taken away (Levenshtein). Foreign
/// names are cut: nothing known is longer than [`LONGEST`].
fn distance(found: &str, known: &str) -> usize {
    let found: Vec<char> = found.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=found.len()).collect();
    for (line, letter) in known.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, other) in row.iter_mut().zip(std::iter::once(None).chain(found.iter().map(Some))) {
            let above = *cell;
            *cell = match other {
                None => left,
                Some(other) => (diagonal + usize::from(*other != letter)).min(above + 1).min(left + 1),
            };
            (diagonal, left) = (above, *cell);
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_book() {
        for (a, b, expected) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("same", "same", 0), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_known_name_is_told_and_a_far_one_is_not() {
        let told = |text: &str| {
            with_nearest(format!("unknown field `{text}`, expected one of `name`, `version`, `pcrs`"))
        };
        assert!(told("verson").ends_with("did you mean `version`?"));
        assert!(told("pcr").ends_with("did you mean `pcrs`?"));
        assert!(told("entirely-else").ends_with("`pcrs`"));
        assert_eq!(with_nearest("missing field `name`".to_owned()), "missing field `name`");
        assert_eq!(
            with_nearest("unknown field `x`, there are no fields".to_owned()),
            "unknown field `x`, there are no fields"
        );
    }
}
