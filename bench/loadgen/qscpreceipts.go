package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// qscpReceipts is how a connection reports what it has received and read, as
// our client does: the first message after a report starts a timer, and when it
// ends the newest position is sent, as `received` (not for rooms) and `read`.
type qscpReceipts struct {
	x *qscp

	mu           sync.Mutex
	conversation string
	room         bool
	seq          int64 // newest that has come; 0: all are reported
	due          bool  // the timer runs

	sent, heard     atomic.Int64
	delivered, read atomic.Int64 // newest of our own messages that others have
}

// place reads the conversation and the seq of a frame.
func place(l []byte) (conversation []byte, seq int64, ok bool) {
	conversation = field(l, conversationField)
	k := bytes.Index(l, seqField)
	if conversation == nil || k < 0 {
		return nil, 0, false
	}
	for _, c := range l[k+len(seqField):] {
		if c < '0' || c > '9' {
			break
		}
		seq = 10*seq + int64(c-'0')
	}
	return conversation, seq, seq > 0
}

var conversationField, seqField = []byte(`"conversation":"`), []byte(`"seq":`)

// note takes the position of a message that came.
func (q *qscpReceipts) note(l []byte) error {
	conversation, seq, ok := place(l)
	if !ok {
		return fmt.Errorf("cannot read the position of %.300q", l)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.conversation != string(conversation) {
		q.conversation, q.room = string(conversation), bytes.HasPrefix(field(l, toField), []byte("#"))
	}
	q.seq = seq
	if !q.due {
		q.due = true
		time.AfterFunc(q.x.o.receipts.interval, q.report)
	}
	return nil
}

// report sends the newest position.
func (q *qscpReceipts) report() {
	lines, n := q.take()
	if stopping.Load() {
		return
	}
	if err := q.x.c.say(lines); err != nil && !stopping.Load() {
		check(fmt.Errorf("%s could not report: %v", q.x.user, err))
	}
	q.sent.Add(n)
}

// take returns the frames of a report, and how many they are.
func (q *qscpReceipts) take() (lines string, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.due = false
	at := fmt.Sprintf(`,"conversation":"%s","seq":%d}`+"\n", q.conversation, q.seq)
	if q.room { // there others don't see what was received
		return `{"type":"read"` + at, 1
	}
	return `{"type":"received"` + at + `{"type":"read"` + at, 2
}

// hear takes a report of another user.  Each kind only rises.
func (q *qscpReceipts) hear(l []byte) error {
	var f struct {
		Type, User string
		Seq        int64
	}
	if err := json.Unmarshal(l, &f); err != nil {
		return err
	}
	newest := &q.delivered
	if f.Type == "read" {
		newest = &q.read
	}
	if before := newest.Swap(f.Seq); f.User == q.x.user || f.Seq <= before || f.Seq > q.x.sent.Load() {
		return fmt.Errorf("after %d of %d this came: %.300q", before, q.x.sent.Load(), l)
	}
	q.heard.Add(1)
	return nil
}

// Reports makes qscp a Reader.
func (x *qscp) Reports() (sent, heard int64) { return x.receipts.sent.Load(), x.receipts.heard.Load() }

// Settled is for pairs in which one user writes, so that a seq is the number of
// a message.
func (x *qscp) Settled() bool {
	n := x.sent.Load()
	return x.receipts.delivered.Load() == n && x.receipts.read.Load() == n
}
