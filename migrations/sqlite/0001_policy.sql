-- The allow policy, the sessions it let in, and what was decided.
-- Times are milliseconds since 1970; names end in _ms.
-- migrations/postgres holds the same tables for PostgreSQL; a change goes into both.

-- One row. Every policy change raises epoch by one in its own transaction, so
-- that the order of commits has no gaps; it never goes back.
CREATE TABLE policy (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    epoch        INTEGER NOT NULL CHECK (epoch >= 0),
    committed_ms INTEGER NOT NULL
) STRICT;
INSERT INTO policy (id, epoch, committed_ms) VALUES (1, 0, 0);

CREATE TABLE workload (
    name           TEXT PRIMARY KEY,
    -- Who keeps it: "file" (a configuration file seeds it) or "api".
    origin         TEXT NOT NULL CHECK (origin IN ('file', 'api')),
    state          TEXT NOT NULL CHECK (state IN ('active', 'revoked')),
    description    TEXT,
    -- Destinations, addresses, lease bounds and limits, as JSON: read whole, never searched.
    rules          TEXT NOT NULL,
    -- Rules that allow more and wait for approvals, and who wrote them.
    pending_rules  TEXT,
    pending_author TEXT,
    -- Who revoked it, and why. NULL while it stands, or where it only left the file:
    -- what somebody revoked, a file does not bring back.
    revoked_by     TEXT,
    reason         TEXT,
    -- Grows with every change of the row: what If-Match is compared with.
    revision       INTEGER NOT NULL,
    -- The epoch that made the rules what they are.
    epoch          INTEGER NOT NULL
) STRICT;

CREATE TABLE measurement (
    workload      TEXT NOT NULL REFERENCES workload (name),
    name          TEXT NOT NULL,
    origin        TEXT NOT NULL CHECK (origin IN ('file', 'api')),
    version       TEXT,
    -- A JSON object of texts, keys sorted.
    labels        TEXT NOT NULL DEFAULT '{}',
    -- "0=<hex>,1=<hex>,2=<hex>", lowest index first: one text for one set of PCRs.
    pcrs          TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('pending', 'active', 'revoked')),
    -- Admits from not_before_ms on and before expires_ms, where they are given.
    not_before_ms INTEGER,
    expires_ms    INTEGER,
    author        TEXT,
    -- A validity that allows more and waits for approvals; there is one when it has an author.
    -- In a pending row the author of the last edit.
    pending_not_before_ms INTEGER,
    pending_expires_ms    INTEGER,
    pending_author        TEXT,
    created_ms    INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    -- The epoch that made its PCRs and its state what they are: sessions of an older one do not stand.
    epoch         INTEGER NOT NULL,
    PRIMARY KEY (workload, name)
) STRICT;
CREATE INDEX measurement_pcrs ON measurement (pcrs);

-- Who said yes to what waits. An approval holds for one revision: a change asks anew.
CREATE TABLE approval (
    workload    TEXT NOT NULL,
    -- Empty: the workload's pending rules.
    measurement TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    approver    TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (workload, measurement, revision, approver)
) STRICT, WITHOUT ROWID;

-- A set of PCRs that was revoked. Outlives its measurement, so that it cannot
-- come back under another name by accident.
CREATE TABLE tombstone (
    pcrs        TEXT PRIMARY KEY,
    workload    TEXT NOT NULL,
    measurement TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    revoked_ms  INTEGER NOT NULL,
    author      TEXT,
    reason      TEXT
) STRICT;

-- Live sessions: found by every replica, and again after a restart.
CREATE TABLE session (
    id            BLOB PRIMARY KEY,
    key           BLOB NOT NULL,
    workload      TEXT NOT NULL,
    measurement   TEXT NOT NULL,
    boot_id       BLOB NOT NULL,
    -- An unsigned number of 64 bits less 2^63: as great and as small as it is, but signed.
    sequence      INTEGER NOT NULL,
    lease_seconds INTEGER NOT NULL,
    lease_ends_ms INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    -- The EC2 instance and enclave that the evidence names.
    module_id     TEXT,
    -- The replica that admitted or renewed it last.
    replica       BLOB,
    admitted_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_key ON session (key);

-- Sessions that somebody ended. Kept until no lease of theirs can last, so that
-- a renewal under way on another replica does not bring one back.
CREATE TABLE ended_session (
    id       BLOB PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    ended_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ended_session_epoch ON ended_session (epoch);

-- API tokens: the secret is not here, only its SHA-256.
CREATE TABLE token (
    id           BLOB PRIMARY KEY,
    name         TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,
    -- Sorted words, joined by commas.
    roles        TEXT NOT NULL,
    -- NULL: everything; else sorted workload names, joined by commas.
    scope        TEXT,
    created_by   TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    last_used_ms INTEGER,
    revoked_ms   INTEGER
) STRICT, WITHOUT ROWID;

-- What a request with an Idempotency-Key did, committed with what it did.
CREATE TABLE idempotency (
    subject    TEXT NOT NULL,
    key        TEXT NOT NULL,
    request    BLOB NOT NULL,
    answer     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (subject, key)
) STRICT, WITHOUT ROWID;

-- The proxies that serve this store, each with its own heartbeat.
CREATE TABLE replica (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    seen_ms    INTEGER NOT NULL,
    -- The policy in force there, and every tunnel cut that it does not allow.
    epoch      INTEGER NOT NULL,
    sessions   INTEGER NOT NULL,
    tunnels    INTEGER NOT NULL,
    -- JSON: [[workload, measurement, sessions with tunnels, tunnels], …].
    load       TEXT NOT NULL,
    -- The public key of its audit checkpoints.
    audit_key  TEXT NOT NULL,
    stopped_ms INTEGER
) STRICT, WITHOUT ROWID;

-- The audit is a set of hash chains, one for each process that writes and one
-- for the policy: each has a head, changed with its rows.
CREATE TABLE audit_chain (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL,
    -- The last policy change. Every policy change writes it into every chain, so that
    -- rows on their way, decided by an older policy, find it and are looked at again.
    epoch INTEGER NOT NULL
) STRICT;

-- Append-only, bounded by the configuration's [audit].
CREATE TABLE audit (
    chain       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    -- "admission", "refusal", "end", "policy", "access"
    kind        TEXT NOT NULL,
    -- What was decided: "admitted", "renewed", "measurement-revoked", a refusal's code.
    code        TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    workload    TEXT,
    measurement TEXT,
    session     BLOB,
    request_id  TEXT,
    actor       TEXT,
    -- JSON, as it was and as it is.
    before      TEXT,
    after       TEXT,
    -- SHA-256 of the document.
    evidence    BLOB,
    detail      TEXT,
    -- Of this row and all before it in its chain.
    hash        BLOB NOT NULL,
    PRIMARY KEY (chain, seq)
) STRICT, WITHOUT ROWID;

-- Signed heads. The oldest one of a chain is where its rows begin.
CREATE TABLE checkpoint (
    chain     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    -- "checkpoint", or "anchor": rows up to this one were dropped by retention.
    purpose   TEXT NOT NULL CHECK (purpose IN ('checkpoint', 'anchor')),
    hash      BLOB NOT NULL,
    at_ms     INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    key_id    BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (chain, seq, purpose)
) STRICT, WITHOUT ROWID;
