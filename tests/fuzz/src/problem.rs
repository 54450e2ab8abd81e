//! Problem details (RFC 9457), which an enclave's client reads from whoever answers.

use countersign_protocol::Problem;

/// Any bytes as a problem: what was read is written and read again the same.
pub fn raw(bytes: &[u8]) {
    let Ok(problem) = serde_json::from_slice::<Problem>(bytes) else { return };
    let written = serde_json::to_vec(&problem).expect("a problem can be written");
    assert_eq!(serde_json::from_slice::<Problem>(&written).expect("what was written can be read"), problem);
    if let Some(code) = problem.known() {
        assert_eq!(code.as_str(), problem.code);
    }
    assert!(problem.to_string().contains(&problem.request_id));
}
