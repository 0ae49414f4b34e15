-- A store of schema 3, as the first qscpd with rooms made it: three rooms, one of them of the operator, and a deleted one.
-- It never changes: the test builds a file from it.
PRAGMA application_id = 1364411216;
PRAGMA user_version = 3;
CREATE TABLE accounts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'locked', 'deleted')),
        password_hash TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT;
INSERT INTO "accounts" VALUES(1,'alice','active','x',1740000010072);
INSERT INTO "accounts" VALUES(2,'bob','active','x',1740000010076);
INSERT INTO "accounts" VALUES(3,'carol','active','x',1740000010080);
CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        last_seq INTEGER NOT NULL,
        messages BLOB NOT NULL
    ) STRICT;
INSERT INTO "chunks" VALUES(1,1,1,X'9194CF000001A22D795CEC01D9203030303030303030303030303030303030303030303030303030303030303031A568656C6C6F');
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
INSERT INTO "conversations" VALUES(1,NULL,NULL,1,1740000010092,1);
INSERT INTO "conversations" VALUES(2,NULL,NULL,0,0,1);
INSERT INTO "conversations" VALUES(3,NULL,NULL,0,0,1);
INSERT INTO "conversations" VALUES(4,NULL,NULL,0,0,1);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch','5b9bbd553646d2f6');
INSERT INTO "meta" VALUES('ids_indexed','1');
INSERT INTO "meta" VALUES('words_indexed','0');
CREATE TABLE positions (
        account INTEGER NOT NULL REFERENCES accounts (id),
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        read_seq INTEGER NOT NULL DEFAULT 0,
        delivered_seq INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, conversation)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "positions" VALUES(1,1,0,0);
INSERT INTO "positions" VALUES(1,2,0,0);
INSERT INTO "positions" VALUES(1,3,0,0);
INSERT INTO "positions" VALUES(2,1,0,0);
INSERT INTO "positions" VALUES(2,4,0,0);
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
INSERT INTO "room_log" VALUES(1,1,1740000010081,1,'create',NULL,NULL,NULL,'Release');
INSERT INTO "room_log" VALUES(2,2,1740000010083,NULL,'create',1,NULL,NULL,'');
INSERT INTO "room_log" VALUES(3,3,1740000010086,1,'create',NULL,NULL,NULL,'');
INSERT INTO "room_log" VALUES(4,3,1740000010087,NULL,'delete',NULL,NULL,NULL,'');
INSERT INTO "room_log" VALUES(5,4,1740000010087,2,'create',NULL,NULL,NULL,'');
INSERT INTO "room_log" VALUES(6,1,1740000010090,1,'invite',3,NULL,NULL,'');
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
INSERT INTO "rooms" VALUES(1,'#dev','open','joining','Release',0,'active',1740000010081);
INSERT INTO "rooms" VALUES(2,'#news','open','joining','',0,'active',1740000010083);
INSERT INTO "rooms" VALUES(3,'#old','open','joining','',0,'deleted',1740000010086);
INSERT INTO "rooms" VALUES(4,'#old','open','joining','',0,'active',1740000010087);
CREATE TABLE sent_ids (
        account INTEGER NOT NULL,
        id BLOB NOT NULL,
        hash BLOB NOT NULL,
        conversation INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "sent_ids" VALUES(1,X'00000000000000000000000000000001',X'F371C694E12A6E13',1,1,1740000010092);
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
INSERT INTO "standings" VALUES(1,1,'owner',1,NULL,0,0);
INSERT INTO "standings" VALUES(1,2,'member',1,NULL,0,0);
INSERT INTO "standings" VALUES(1,3,NULL,1,1,0,0);
INSERT INTO "standings" VALUES(2,1,'owner',1,NULL,0,0);
INSERT INTO "standings" VALUES(4,2,'owner',1,NULL,0,0);
CREATE VIRTUAL TABLE words USING fts5 (body, content='', tokenize='unicode61 remove_diacritics 2');
CREATE UNIQUE INDEX account_names ON accounts (name) WHERE state <> 'deleted';
CREATE UNIQUE INDEX chunk_positions ON chunks (conversation, last_seq);
CREATE INDEX position_members ON positions (conversation);
CREATE UNIQUE INDEX room_names ON rooms (name) WHERE state <> 'deleted';
CREATE INDEX rooms_of_account ON standings (account) WHERE role IS NOT NULL;
CREATE INDEX room_log_of_room ON room_log (conversation, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('conversations',4);
INSERT INTO "sqlite_sequence" VALUES('accounts',3);
INSERT INTO "sqlite_sequence" VALUES('room_log',6);
INSERT INTO "sqlite_sequence" VALUES('chunks',1);
