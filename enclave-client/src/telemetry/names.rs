//! Names of attributes that only this program has.

/// Which rule of the manifest decided, or that none allows it.
pub const RULE: &str = "countersign.rule";

/// What a tunnel through the public proxy runs on: `warm` and `standing` were opened ahead, `new` for this request.
pub const GATEWAY_CONNECTION: &str = "countersign.gateway.connection";
