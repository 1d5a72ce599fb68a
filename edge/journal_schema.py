"""The tables of the journal, and how an older journal becomes the present one.

One row of `slides` per arrival: the same slide key with other files is a second arrival (state LATE).
One row of `revisions` per result that was made, one row of `deliveries` per revision and output,
one row of `audit` per change of any of them. Rows of `audit` cannot be changed or deleted through SQL.
One row of `purged` per arrival whose rows were given back after their retention: digests only, so that the same slide
is still known when it is exported again, and nothing of a person is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge.journal_states import DELIVERY_MOVES, SLIDE_MOVES

SCHEMA_VERSION = 3
APPLICATION_ID = 0x4D445345  # "MDSE" in the file header: another program's database is refused


def quoted_list(words: Iterable[str]) -> str:
    """Return the words as a SQL list of string constants. Only for the fixed state names of this package."""
    return ", ".join(f"'{word}'" for word in sorted(words))


SCHEMA = f"""
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE slides (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    slide_key TEXT NOT NULL,
    folder BLOB NOT NULL,                 -- the folder's name as the file system gave it
    arrival INTEGER NOT NULL DEFAULT 1,
    state TEXT NOT NULL CHECK (state IN ({quoted_list(SLIDE_MOVES)})),
    signature TEXT,                       -- digest of names, sizes and times when the folder was read
    manifest_sha256 TEXT,
    idempotency_key TEXT UNIQUE,
    content_sha256 TEXT,                  -- digest of the images alone, whatever they are called
    sample_id TEXT,
    file_count INTEGER,
    byte_count INTEGER,
    spool_name TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,  -- written before the work begins
    released INTEGER NOT NULL DEFAULT 0,  -- a person let an incomplete or doubtful slide pass
    planned_reason TEXT,                  -- why the next result is a revision
    planned_by TEXT,
    related_slide INTEGER REFERENCES slides (id),
    reason_code TEXT NOT NULL DEFAULT '',
    reason_text TEXT NOT NULL DEFAULT '',
    seen_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,  -- 1: the order is STAT, analyzed before the others
    unlisted_at TEXT,                     -- since when the source no longer lists the folder; NULL while it does
    filed_as TEXT,                        -- slide number or key of its result; NULL: none, or made before version 3
    UNIQUE (source, slide_key, arrival)
) STRICT;
CREATE INDEX slides_by_state ON slides (state, id);
CREATE INDEX slides_by_content ON slides (content_sha256);
CREATE INDEX slides_by_label ON slides (sample_id, filed_as);
CREATE INDEX slides_by_related ON slides (related_slide);
CREATE INDEX slides_come_again ON slides (source, slide_key) WHERE arrival > 1;

CREATE TABLE revisions (
    id INTEGER PRIMARY KEY,
    slide_id INTEGER NOT NULL REFERENCES slides (id),
    number INTEGER NOT NULL,
    message_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN ('P', 'F', 'C', 'W', 'X')),
    mode TEXT NOT NULL CHECK (mode IN ('P', 'T')),
    record_sha256 TEXT NOT NULL,
    report_sha256 TEXT,                   -- NULL where no report could be kept
    bundle_digest TEXT NOT NULL,
    supersedes TEXT,
    made_by TEXT NOT NULL,
    reason TEXT,
    made_at TEXT NOT NULL
) STRICT;
CREATE INDEX revisions_by_slide ON revisions (slide_id);

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    revision_id INTEGER NOT NULL REFERENCES revisions (id),
    output TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ({quoted_list(DELIVERY_MOVES)})),
    final_name TEXT,
    staged_name TEXT,
    content BLOB,                         -- NULL: the archived report's bytes, or a delivery that is archived
    sha256 TEXT,
    size INTEGER,
    copy INTEGER NOT NULL DEFAULT 1,      -- 2 and more: sent again at a person's request
    reason_text TEXT NOT NULL DEFAULT '',
    made_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    UNIQUE (revision_id, output, copy),
    UNIQUE (output, final_name)
) STRICT;
CREATE INDEX deliveries_by_state ON deliveries (output, state, id);
CREATE INDEX deliveries_of_state ON deliveries (state, made_at);

CREATE TABLE purged (
    idempotency_key TEXT PRIMARY KEY,
    content_sha256 TEXT,
    purged_at TEXT NOT NULL
) STRICT;
CREATE INDEX purged_by_content ON purged (content_sha256);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_arrivals ON audit (seq) WHERE action = 'arrived';
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are not changed'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are kept'); END;
"""

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE slides ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE slides ADD COLUMN unlisted_at TEXT",
        "CREATE INDEX deliveries_of_state ON deliveries (state, made_at)",
        "CREATE TABLE purged (idempotency_key TEXT PRIMARY KEY, content_sha256 TEXT, purged_at TEXT NOT NULL) STRICT",
        "CREATE INDEX purged_by_content ON purged (content_sha256)",
        "CREATE INDEX audit_arrivals ON audit (seq) WHERE action = 'arrived'",
    ),
    2: (
        "ALTER TABLE slides ADD COLUMN filed_as TEXT",
        "CREATE INDEX slides_by_label ON slides (sample_id, filed_as)",
        "CREATE INDEX slides_by_related ON slides (related_slide)",
        "CREATE INDEX slides_come_again ON slides (source, slide_key) WHERE arrival > 1",
    ),
}
"""From version n to n+1: the statements. All steps to the present version run in one transaction."""
