-- A journal of the first version: one finished slide, one that was just seen.
BEGIN TRANSACTION;
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
INSERT INTO "audit" VALUES(1,'2026-11-23T08:00:00.000Z','daemon','journal made','journal','','','{}','0000000000000000000000000000000000000000000000000000000000000000','4edafbdc9c7818f45e59644011bbf249fc6fdfed6bfb139bc5fe396ad23ebcc1');
INSERT INTO "audit" VALUES(2,'2026-11-23T08:00:00.002Z','daemon','arrived','slide:1','','SEEN','{"arrival":1}','4edafbdc9c7818f45e59644011bbf249fc6fdfed6bfb139bc5fe396ad23ebcc1','e56f4aa4b30b3f828336135e027ed28d4dcc2c883d783a9f519b411ff8490a06');
INSERT INTO "audit" VALUES(3,'2026-11-23T08:00:00.004Z','daemon','moved','slide:1','SEEN','SETTLED','{"code":"","text":""}','e56f4aa4b30b3f828336135e027ed28d4dcc2c883d783a9f519b411ff8490a06','daf03134ff402f04f24e66226d211400b8f9d0146e01dcbcf65b36bd7e086171');
INSERT INTO "audit" VALUES(4,'2026-11-23T08:00:00.006Z','daemon','moved','slide:1','SETTLED','SPOOLED','{"code":"","idempotency_key":"key-A1","spool_name":"1-x","text":""}','daf03134ff402f04f24e66226d211400b8f9d0146e01dcbcf65b36bd7e086171','71de993dd5748eced1304358ee5d46092b23d2114c5d3614346095cc2b98997d');
INSERT INTO "audit" VALUES(5,'2026-11-23T08:00:00.008Z','daemon','result made','revision:1','','P','{"bundle":"2222222222222222222222222222222222222222222222222222222222222222","message_id":"ABC.R1","reason":null,"record_sha256":"0000000000000000000000000000000000000000000000000000000000000000","slide":1,"status":"P","supersedes":null}','71de993dd5748eced1304358ee5d46092b23d2114c5d3614346095cc2b98997d','de2653b180a8563a9c452a08b3589d7bc161817846aa6e75789bf274159b918d');
INSERT INTO "audit" VALUES(6,'2026-11-23T08:00:00.010Z','daemon','delivery planned','delivery:1','','RENDERED','{"final_name":"a.json","output":"json:/drop","revision":1,"sha256":"3333333333333333333333333333333333333333333333333333333333333333","text":""}','de2653b180a8563a9c452a08b3589d7bc161817846aa6e75789bf274159b918d','d434c4a5faab63475ba2089cdd29e27cfc8351cfa48027df02fbed175e679bb7');
INSERT INTO "audit" VALUES(7,'2026-11-23T08:00:00.012Z','daemon','moved','slide:1','SPOOLED','COMPUTED','{"code":"","text":""}','d434c4a5faab63475ba2089cdd29e27cfc8351cfa48027df02fbed175e679bb7','bcc8dc099922b29b9549179cb86f56535b438486b511e003d315f9a97009b555');
INSERT INTO "audit" VALUES(8,'2026-11-23T08:00:00.014Z','daemon','moved','delivery:1','RENDERED','STAGED','{"staged_name":"s","text":""}','bcc8dc099922b29b9549179cb86f56535b438486b511e003d315f9a97009b555','6f70320389f0a106aee96dd83a6211ac4b6469dfc25ba6015af8fba755cf1a93');
INSERT INTO "audit" VALUES(9,'2026-11-23T08:00:00.016Z','daemon','moved','delivery:1','STAGED','SENT','{"text":""}','6f70320389f0a106aee96dd83a6211ac4b6469dfc25ba6015af8fba755cf1a93','ef3e0dba79417bfcbe99daf50a753a17a6c9d529cb6fdea6c5cba0c9264aa92b');
INSERT INTO "audit" VALUES(10,'2026-11-23T08:00:00.018Z','daemon','moved','slide:1','COMPUTED','CLOSED','{"code":"","text":""}','ef3e0dba79417bfcbe99daf50a753a17a6c9d529cb6fdea6c5cba0c9264aa92b','5edeca4307d56462f0196b24c40c25204dafbd05fd4040546f45ffa93f5ac7ff');
INSERT INTO "audit" VALUES(11,'2026-11-23T08:00:00.020Z','daemon','arrived','slide:2','','SEEN','{"arrival":1}','5edeca4307d56462f0196b24c40c25204dafbd05fd4040546f45ffa93f5ac7ff','33ba8f316a14e7ab7af1d41b51c05cb8e45bcf090df63cbcdb3165254a066a41');
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    revision_id INTEGER NOT NULL REFERENCES revisions (id),
    output TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ACCEPTED', 'ARCHIVED', 'COLLECTED', 'DELIVERED_UNSEEN', 'PARKED', 'REFUSED', 'RENDERED', 'SENT', 'STAGED')),
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
INSERT INTO "deliveries" VALUES(1,1,'json:/drop','SENT','a.json','s',X'7B7D0A','3333333333333333333333333333333333333333333333333333333333333333',3,1,'','2026-11-23T08:00:00.009Z','2026-11-23T08:00:00.015Z');
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO "meta" VALUES('journal_id','baf20815625c415f8b63edd18683b017');
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
INSERT INTO "revisions" VALUES(1,1,1,'ABC.R1','P','P','0000000000000000000000000000000000000000000000000000000000000000','1111111111111111111111111111111111111111111111111111111111111111','2222222222222222222222222222222222222222222222222222222222222222',NULL,'daemon',NULL,'2026-11-23T08:00:00.007Z');
CREATE TABLE slides (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    slide_key TEXT NOT NULL,
    folder BLOB NOT NULL,                 -- the folder's name as the file system gave it
    arrival INTEGER NOT NULL DEFAULT 1,
    state TEXT NOT NULL CHECK (state IN ('CLOSED', 'COMPUTED', 'DUPLICATE', 'HELD', 'LATE', 'QUARANTINED', 'SEEN', 'SETTLED', 'SPOOLED', 'VANISHED', 'WAITING_SOURCE')),
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
    UNIQUE (source, slide_key, arrival)
) STRICT;
INSERT INTO "slides" VALUES(1,'di60','A1',X'4131',1,'CLOSED',NULL,NULL,'key-A1',NULL,NULL,NULL,NULL,'1-x',0,0,NULL,NULL,NULL,'','','2026-11-23T08:00:00.001Z','2026-11-23T08:00:00.017Z');
INSERT INTO "slides" VALUES(2,'di60','A2',X'4132',1,'SEEN',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,NULL,NULL,NULL,'','','2026-11-23T08:00:00.019Z','2026-11-23T08:00:00.019Z');
CREATE INDEX slides_by_state ON slides (state, id);
CREATE INDEX slides_by_content ON slides (content_sha256);
CREATE INDEX revisions_by_slide ON revisions (slide_id);
CREATE INDEX deliveries_by_state ON deliveries (output, state, id);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are not changed'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are kept'); END;
COMMIT;
PRAGMA application_id = 1296323397;
PRAGMA user_version = 1;
