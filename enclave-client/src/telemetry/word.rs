use countersign_protocol::{Problem, ProblemCode};

use crate::host::wire::HostCode;

/// The stable word of a refusal, if it is one of ours, and else [`OTHER`]. A gateway and a host half may
/// write any code: who counted by what they write would let them make series without end.
pub fn word(problem: &Problem) -> &'static str {
    let of_the_host = || HostCode::ALL.into_iter().find(|code| code.is(problem)).map(HostCode::as_str);
    problem.known().map(ProblemCode::as_str).or_else(of_the_host).unwrap_or(OTHER)
}

/// A word that is none of ours.
pub const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn only_our_own_words_are_counted_by() {
        for code in ["destination-denied", "egress-rule-set", "host-away"] {
            let code: Cow<'static, str> = Cow::Owned(code.to_owned());
            let problem =
                Problem { status: 403, code: code.clone(), detail: "no".into(), request_id: "r".into() };
            assert_eq!(word(&problem), code);
        }
        let hostile =
            Problem { status: 403, code: "x7f3a".into(), detail: "no".into(), request_id: "r".into() };
        assert_eq!(word(&hostile), OTHER);
    }
}
