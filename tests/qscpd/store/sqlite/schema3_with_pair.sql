-- A store of schema 3, as the qscpd before blocks made it: a pair, a room with members, a mute and a log,
-- an edited message, and a name that was given away. It never changes: the test builds a file from it.
PRAGMA application_id = 1364411216;
PRAGMA user_version = 3;
CREATE TABLE accounts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'locked', 'deleted')),
        password_hash TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT;
INSERT INTO "accounts" VALUES(1,'alice','active','$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$dGVzdA',1760000000010);
INSERT INTO "accounts" VALUES(2,'bob','active','$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$dGVzdA',1760000000015);
INSERT INTO "accounts" VALUES(3,'carol','deleted','',1760000000020);
INSERT INTO "accounts" VALUES(4,'carol','active','$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$dGVzdA',1760000000060);
CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        last_seq INTEGER NOT NULL,
        messages BLOB NOT NULL
    ) STRICT;
INSERT INTO "chunks" VALUES(1,1,2,X'9294CF00000199C82CC01901D9203031393963383263633030313730303038303030303030303030303030303031B0746865206669727374206C657474657294CF00000199C82CC01902D9203031393963383263633030323730303038303030303030303030303030303032B0616E20616E737765722C206672C3BC68');
INSERT INTO "chunks" VALUES(2,2,1,X'9195CF00000199C82CC03201D9203031393963383263633030333730303038303030303030303030303030303033A840626F623A20686982A16D9102A165CF00000199C82CC037');
INSERT INTO "chunks" VALUES(3,2,2,X'9195CF00000199C82CC03701D9203031393963383263633030343730303038303030303030303030303030303034C083A16BA465646974A17401A164C4080BBA66532CD1E1DA');
CREATE TABLE "conversations" (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        low INTEGER REFERENCES accounts (id),
        high INTEGER REFERENCES accounts (id),
        last_seq INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        first_seq INTEGER NOT NULL DEFAULT 1,
        UNIQUE (low, high),
        CHECK (low < high),
        CHECK ((low IS NULL) = (high IS NULL))
    ) STRICT;
INSERT INTO "conversations" VALUES(1,1,2,2,1760000000025,1);
INSERT INTO "conversations" VALUES(2,NULL,NULL,2,1760000000055,1);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch','efb23d4b4be3e1d6');
INSERT INTO "meta" VALUES('ids_indexed','3');
INSERT INTO "meta" VALUES('words_indexed','3');
CREATE TABLE positions (
        account INTEGER NOT NULL REFERENCES accounts (id),
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        read_seq INTEGER NOT NULL DEFAULT 0,
        delivered_seq INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, conversation)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "positions" VALUES(1,1,2,0);
INSERT INTO "positions" VALUES(1,2,0,0);
INSERT INTO "positions" VALUES(2,1,0,0);
INSERT INTO "positions" VALUES(2,2,0,0);
CREATE TABLE room_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES rooms (conversation),
        time_ms INTEGER NOT NULL,
        actor INTEGER,
        action TEXT NOT NULL,
        target INTEGER,
        seq INTEGER,
        until_ms INTEGER,
        text TEXT NOT NULL
    ) STRICT;
INSERT INTO "room_log" VALUES(1,2,1760000000030,1,'create',NULL,NULL,NULL,'history full, Tea');
INSERT INTO "room_log" VALUES(2,2,1760000000040,1,'invite',3,NULL,NULL,'');
INSERT INTO "room_log" VALUES(3,2,1760000000045,1,'mute',2,NULL,9007199254740991,'chatting too much');
CREATE TABLE rooms (
        conversation INTEGER PRIMARY KEY REFERENCES conversations (id),
        name TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('open', 'closed', 'announcement')),
        history TEXT NOT NULL CHECK (history IN ('joining', 'full')),
        topic TEXT NOT NULL,
        slow_s INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'archived', 'deleted')),
        created_ms INTEGER NOT NULL
    ) STRICT;
INSERT INTO "rooms" VALUES(2,'#dev','open','full','Tea',0,'active',1760000000030);
CREATE TABLE sent_ids (
        account INTEGER NOT NULL,
        id BLOB NOT NULL,
        hash BLOB NOT NULL,
        conversation INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "sent_ids" VALUES(1,X'0199C82CC00170008000000000000001',X'8C74A3768F33BD63',1,1,1760000000025);
INSERT INTO "sent_ids" VALUES(1,X'0199C82CC00370008000000000000003',X'26B97EA41C64D2DB',2,1,1760000000050);
INSERT INTO "sent_ids" VALUES(1,X'0199C82CC00470008000000000000004',X'5741C9A5B55B8832',2,2,1760000000055);
INSERT INTO "sent_ids" VALUES(2,X'0199C82CC00270008000000000000002',X'40C19BFB2CB9CAEC',1,2,1760000000025);
CREATE TABLE standings (
        conversation INTEGER NOT NULL REFERENCES rooms (conversation),
        account INTEGER NOT NULL REFERENCES accounts (id),
        role TEXT CHECK (role IN ('owner', 'moderator', 'member')),
        since INTEGER NOT NULL,
        invited_by INTEGER,
        muted_until_ms INTEGER NOT NULL,
        banned_until_ms INTEGER NOT NULL,
        PRIMARY KEY (conversation, account)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "standings" VALUES(2,1,'owner',1,NULL,0,0);
INSERT INTO "standings" VALUES(2,2,'member',1,NULL,9007199254740991,0);
CREATE UNIQUE INDEX account_names ON accounts (name) WHERE state <> 'deleted';
CREATE UNIQUE INDEX chunk_positions ON chunks (conversation, last_seq);
CREATE INDEX position_members ON positions (conversation);
CREATE UNIQUE INDEX room_names ON rooms (name) WHERE state <> 'deleted';
CREATE INDEX rooms_of_account ON standings (account) WHERE role IS NOT NULL;
CREATE INDEX room_log_of_room ON room_log (conversation, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('conversations',2);
INSERT INTO "sqlite_sequence" VALUES('accounts',4);
INSERT INTO "sqlite_sequence" VALUES('chunks',3);
INSERT INTO "sqlite_sequence" VALUES('room_log',3);
CREATE VIRTUAL TABLE words USING fts5 (body, content='', tokenize='unicode61 remove_diacritics 2');
INSERT INTO words (rowid, body) VALUES
    (4294967297, 'the first letter'),
    (4294967298, 'an answer, früh'),
    (8589934593, '@bob: hi');
