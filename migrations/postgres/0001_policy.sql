-- The allow policy, the sessions it let in, and what was decided.
-- Times are milliseconds since 1970; names end in _ms.
-- migrations/sqlite holds the same tables for SQLite; a change goes into both.
-- Texts that lists are ordered by are compared byte by byte ("C"), as SQLite does.

-- One row. Every policy change raises epoch by one in its own transaction, so
-- that the order of commits has no gaps; it never goes back.
CREATE TABLE policy (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    epoch        BIGINT NOT NULL CHECK (epoch >= 0),
    committed_ms BIGINT NOT NULL
);
INSERT INTO policy (id, epoch, committed_ms) VALUES (1, 0, 0);

CREATE TABLE workload (
    name           TEXT COLLATE "C" PRIMARY KEY,
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
    revision       BIGINT NOT NULL,
    -- The epoch that made the rules what they are.
    epoch          BIGINT NOT NULL
);

CREATE TABLE measurement (
    workload      TEXT COLLATE "C" NOT NULL REFERENCES workload (name),
    name          TEXT COLLATE "C" NOT NULL,
    origin        TEXT NOT NULL CHECK (origin IN ('file', 'api')),
    version       TEXT,
    -- A JSON object of texts, keys sorted.
    labels        TEXT NOT NULL DEFAULT '{}',
    -- "0=<hex>,1=<hex>,2=<hex>", lowest index first: one text for one set of PCRs.
    pcrs          TEXT COLLATE "C" NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('pending', 'active', 'revoked')),
    -- Admits from not_before_ms on and before expires_ms, where they are given.
    not_before_ms BIGINT,
    expires_ms    BIGINT,
    author        TEXT,
    -- A validity that allows more and waits for approvals; there is one when it has an author.
    -- In a pending row the author of the last edit.
    pending_not_before_ms BIGINT,
    pending_expires_ms    BIGINT,
    pending_author        TEXT,
    created_ms    BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    -- The epoch that made its PCRs and its state what they are: sessions of an older one do not stand.
    epoch         BIGINT NOT NULL,
    PRIMARY KEY (workload, name)
);
CREATE INDEX measurement_pcrs ON measurement (pcrs);

-- Who said yes to what waits. An approval holds for one revision: a change asks anew.
CREATE TABLE approval (
    workload    TEXT NOT NULL,
    -- Empty: the workload's pending rules.
    measurement TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    approver    TEXT NOT NULL,
    at_ms       BIGINT NOT NULL,
    PRIMARY KEY (workload, measurement, revision, approver)
);

-- A set of PCRs that was revoked. Outlives its measurement, so that it cannot
-- come back under another name by accident.
CREATE TABLE tombstone (
    pcrs        TEXT COLLATE "C" PRIMARY KEY,
    workload    TEXT NOT NULL,
    measurement TEXT NOT NULL,
    epoch       BIGINT NOT NULL,
    revoked_ms  BIGINT NOT NULL,
    author      TEXT,
    reason      TEXT
);

-- Live sessions: found by every replica, and again after a restart.
CREATE TABLE session (
    id            BYTEA PRIMARY KEY,
    key           BYTEA NOT NULL,
    workload      TEXT NOT NULL,
    measurement   TEXT NOT NULL,
    boot_id       BYTEA NOT NULL,
    -- An unsigned number of 64 bits less 2^63: as great and as small as it is, but signed.
    sequence      BIGINT NOT NULL,
    lease_seconds BIGINT NOT NULL,
    lease_ends_ms BIGINT NOT NULL,
    epoch         BIGINT NOT NULL,
    -- The EC2 instance and enclave that the evidence names.
    module_id     TEXT,
    -- The replica that admitted or renewed it last.
    replica       BYTEA,
    admitted_ms   BIGINT NOT NULL
);
CREATE INDEX session_key ON session (key);

-- Sessions that somebody ended. Kept until no lease of theirs can last, so that
-- a renewal under way on another replica does not bring one back.
CREATE TABLE ended_session (
    id       BYTEA PRIMARY KEY,
    epoch    BIGINT NOT NULL,
    reason   TEXT NOT NULL,
    ended_ms BIGINT NOT NULL
);
CREATE INDEX ended_session_epoch ON ended_session (epoch);

-- API tokens: the secret is not here, only its SHA-256.
CREATE TABLE token (
    id           BYTEA PRIMARY KEY,
    name         TEXT NOT NULL,
    hash         BYTEA NOT NULL UNIQUE,
    -- Sorted words, joined by commas.
    roles        TEXT NOT NULL,
    -- NULL: everything; else sorted workload names, joined by commas.
    scope        TEXT,
    created_by   TEXT NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    last_used_ms BIGINT,
    revoked_ms   BIGINT
);

-- What a request with an Idempotency-Key did, committed with what it did.
CREATE TABLE idempotency (
    subject    TEXT NOT NULL,
    key        TEXT NOT NULL,
    request    BYTEA NOT NULL,
    answer     TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (subject, key)
);

-- The proxies that serve this store, each with its own heartbeat.
CREATE TABLE replica (
    id         BYTEA PRIMARY KEY,
    name       TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    seen_ms    BIGINT NOT NULL,
    -- The policy in force there, and every tunnel cut that it does not allow.
    epoch      BIGINT NOT NULL,
    sessions   BIGINT NOT NULL,
    tunnels    BIGINT NOT NULL,
    -- JSON: [[workload, measurement, sessions with tunnels, tunnels], …].
    load       TEXT NOT NULL,
    -- The public key of its audit checkpoints.
    audit_key  TEXT NOT NULL,
    stopped_ms BIGINT
);

-- The audit is a set of hash chains, one for each process that writes and one
-- for the policy: each has a head, changed with its rows.
CREATE TABLE audit_chain (
    id   BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    seq  BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    -- The last policy change. Every policy change writes it into every chain, so that
    -- rows on their way, decided by an older policy, find it and are looked at again.
    epoch BIGINT NOT NULL
);

-- Append-only, bounded by the configuration's [audit].
CREATE TABLE audit (
    chain       BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    at_ms       BIGINT NOT NULL,
    -- "admission", "refusal", "end", "policy", "access"
    kind        TEXT NOT NULL,
    -- What was decided: "admitted", "renewed", "measurement-revoked", a refusal's code.
    code        TEXT NOT NULL,
    epoch       BIGINT NOT NULL,
    workload    TEXT,
    measurement TEXT,
    session     BYTEA,
    request_id  TEXT,
    actor       TEXT,
    -- JSON, as it was and as it is.
    before      TEXT,
    after       TEXT,
    -- SHA-256 of the document.
    evidence    BYTEA,
    detail      TEXT,
    -- Of this row and all before it in its chain.
    hash        BYTEA NOT NULL,
    PRIMARY KEY (chain, seq)
);

-- Signed heads. The oldest one of a chain is where its rows begin.
CREATE TABLE checkpoint (
    chain     BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    -- "checkpoint", or "anchor": rows up to this one were dropped by retention.
    purpose   TEXT NOT NULL CHECK (purpose IN ('checkpoint', 'anchor')),
    hash      BYTEA NOT NULL,
    at_ms     BIGINT NOT NULL,
    epoch     BIGINT NOT NULL,
    key_id    BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (chain, seq, purpose)
);
