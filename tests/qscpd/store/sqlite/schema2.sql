-- A store of schema 2, as the qscpd before rooms made it: pairs, positions, ids, a pruned and an erased message.
-- It never changes: the test builds a file from it.
PRAGMA application_id = 1364411216;
PRAGMA user_version = 2;
CREATE TABLE accounts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'locked', 'deleted')),
        password_hash TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT;
CREATE TABLE conversations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        low INTEGER NOT NULL REFERENCES accounts (id),
        high INTEGER NOT NULL REFERENCES accounts (id),
        last_seq INTEGER NOT NULL,
        last_ms INTEGER NOT NULL, first_seq INTEGER NOT NULL DEFAULT 1,
        UNIQUE (low, high),
        CHECK (low < high)
    ) STRICT;
CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        last_seq INTEGER NOT NULL,
        messages BLOB NOT NULL
    ) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE positions (
        account INTEGER NOT NULL REFERENCES accounts (id),
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        read_seq INTEGER NOT NULL DEFAULT 0,
        delivered_seq INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, conversation)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE sent_ids (
        account INTEGER NOT NULL,
        id BLOB NOT NULL,
        hash BLOB NOT NULL,
        conversation INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX account_names ON accounts (name) WHERE state <> 'deleted';
CREATE UNIQUE INDEX chunk_positions ON chunks (conversation, last_seq);
CREATE INDEX position_members ON positions (conversation);
CREATE VIRTUAL TABLE words USING fts5 (body, content='', tokenize='unicode61 remove_diacritics 2');
INSERT INTO accounts VALUES
    (1, 'alice', 'active', '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$dGVzdA', 1740000000000),
    (2, 'bob', 'locked', '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$dGVzdA', 1740000001000),
    (3, 'carol', 'deleted', '', 1740000002000);
INSERT INTO conversations VALUES
    (1, 1, 2, 5, 1740000010010, 2),
    (2, 2, 3, 1, 1740000010000, 1);
INSERT INTO chunks VALUES
    (1, 1, 2, X'9194CF0000019520151F1002D9203031393532303030613030323730303038303030303030303030303030303032B0616E20616E737765722C206672C3BC68'),
    (2, 2, 1, X'9194CF0000019520151F1003D9203031393532303030613030333730303038303030303030303030303030303033C0'),
    (3, 1, 4, X'9294CF0000019520151F1501D9203031393532303030613030343730303038303030303030303030303030303034A6666F7572746894CF0000019520151F1502D9203031393532303030613030353730303038303030303030303030303030303035A56669667468'),
    (4, 1, 5, X'9194CF0000019520151F1A01D9203031393532303030613030363730303038303030303030303030303030303036B273697874682C206E6F7420696E6465786564');
INSERT INTO positions VALUES
    (1, 1, 0, 2),
    (2, 1, 1, 0),
    (2, 2, 0, 0),
    (3, 2, 0, 0);
INSERT INTO meta VALUES
    ('epoch', '00112233aabbccdd'),
    ('ids_indexed', '3'),
    ('words_indexed', '3');
INSERT INTO sent_ids VALUES
    (1, X'01952000A00170008000000000000001', X'8C74A3768F33BD63', 1, 1, 1740000010000),
    (1, X'01952000A00470008000000000000004', X'0FACF679A8EC1F03', 1, 3, 1740000010005),
    (2, X'01952000A00270008000000000000002', X'40C19BFB2CB9CAEC', 1, 2, 1740000010000),
    (2, X'01952000A00570008000000000000005', X'F4C9BFE52ED9FC3E', 1, 4, 1740000010005),
    (3, X'01952000A00370008000000000000003', X'1F18001CCA9EB6FA', 2, 1, 1740000010000);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES
    ('accounts', 3),
    ('conversations', 2),
    ('chunks', 4);
INSERT INTO words (rowid, body) VALUES
    (4294967298, 'an answer, früh'),
    (4294967299, 'fourth'),
    (4294967300, 'fifth');
