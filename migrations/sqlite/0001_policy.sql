-- The allow policy, the sessions it let in, and what was decided.
-- Times are milliseconds since 1970; names end in _ms.

-- One row. Every policy change raises epoch by one in its own transaction, so
-- that the order of commits has no gaps; it never goes back.
CREATE TABLE policy (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    epoch        INTEGER NOT NULL CHECK (epoch >= 0),
    committed_ms INTEGER NOT NULL
) STRICT;
INSERT INTO policy (id, epoch, committed_ms) VALUES (1, 0, 0);

CREATE TABLE workload (
    name  TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('active', 'revoked')),
    -- Destinations, addresses, lease bounds and limits, as JSON: read whole, never searched.
    rules TEXT NOT NULL,
    -- The epoch that made this row what it is.
    epoch INTEGER NOT NULL
) STRICT;

CREATE TABLE measurement (
    workload TEXT NOT NULL REFERENCES workload (name),
    name     TEXT NOT NULL,
    version  TEXT,
    -- "0=<hex>,1=<hex>,2=<hex>", lowest index first: one text for one set of PCRs.
    pcrs     TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('pending', 'active', 'revoked')),
    epoch    INTEGER NOT NULL,
    PRIMARY KEY (workload, name)
) STRICT;

-- A set of PCRs that was revoked. Outlives its measurement, so that it cannot
-- come back under another name by accident.
CREATE TABLE tombstone (
    pcrs        TEXT PRIMARY KEY,
    workload    TEXT NOT NULL,
    measurement TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    revoked_ms  INTEGER NOT NULL,
    reason      TEXT
) STRICT;

-- Live sessions, to be found again after a restart.
CREATE TABLE session (
    id            BLOB PRIMARY KEY,
    key           BLOB NOT NULL,
    workload      TEXT NOT NULL,
    measurement   TEXT NOT NULL,
    boot_id       BLOB NOT NULL,
    -- An unsigned number of 64 bits, kept as the signed one with the same bits.
    sequence      INTEGER NOT NULL,
    lease_seconds INTEGER NOT NULL,
    lease_ends_ms INTEGER NOT NULL,
    epoch         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_lease_ends ON session (lease_ends_ms);

-- Append-only, bounded by the configuration's [audit].
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms       INTEGER NOT NULL,
    -- "admission", "refusal", "policy"
    kind        TEXT NOT NULL,
    -- What was decided: "admitted", "renewed", "measurement-revoked", a refusal's code.
    code        TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    workload    TEXT,
    measurement TEXT,
    session     BLOB,
    request_id  TEXT,
    detail      TEXT
) STRICT;
CREATE INDEX audit_at ON audit (at_ms);
