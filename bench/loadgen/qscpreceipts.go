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
// our client does: a report waits for a moment, has the newest position, and is
// followed by the next of its kind only after a while.  Nothing is left out in
// the end.
type qscpReceipts struct {
	x *qscp

	mu           sync.Mutex
	conversation string
	seq          int64 // newest that has come
	due          bool  // the timer runs
	kinds        []receiptKind

	sent, heard     atomic.Int64
	delivered, read atomic.Int64 // newest of our own messages that others have
}

// receiptKind is `received` or `read`.
type receiptKind struct {
	frame    string
	interval time.Duration // at least between two of them
	reported int64         // newest seq that was sent
	next     time.Time     // when one can be sent again
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
		q.conversation = string(conversation)
		q.kinds = []receiptKind{{frame: "read", interval: q.x.o.receipts.read}}
		if !bytes.HasPrefix(field(l, toField), []byte("#")) { // in a room others don't see what was received
			received := receiptKind{frame: "received", interval: q.x.o.receipts.received}
			q.kinds = append([]receiptKind{received}, q.kinds...)
		}
	}
	q.seq = seq
	if !q.due {
		q.due = true
		now := time.Now()
		time.AfterFunc(max(q.x.o.receipts.pause, q.wait(now)), q.report)
	}
	return nil
}

// wait is how long the first report of what moved has to wait for the last one
// of its kind.
func (q *qscpReceipts) wait(now time.Time) time.Duration {
	first := time.Duration(-1)
	for _, k := range q.kinds {
		if left := max(k.next.Sub(now), 0); k.reported < q.seq && (first < 0 || left < first) {
			first = left
		}
	}
	return max(first, 0)
}

// report sends what can be sent now, and waits for the rest.
func (q *qscpReceipts) report() {
	if stopping.Load() {
		return
	}
	lines, n, again := q.take(time.Now())
	if err := q.x.c.say(lines); err != nil && !stopping.Load() {
		check(fmt.Errorf("%s could not report: %v", q.x.user, err))
	}
	q.sent.Add(n)
	if again > 0 {
		time.AfterFunc(again, q.report)
	}
}

// take returns the frames that can be sent now, how many they are, and how long
// the others have to wait; 0 if all were reported.
func (q *qscpReceipts) take(now time.Time) (lines string, n int64, again time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.due = false
	for i := range q.kinds {
		k := &q.kinds[i]
		if k.reported >= q.seq {
			continue
		}
		if now.Before(k.next) {
			q.due = true
			continue
		}
		lines += fmt.Sprintf(`{"type":"%s","conversation":"%s","seq":%d}`+"\n", k.frame, q.conversation, q.seq)
		k.reported, k.next = q.seq, now.Add(k.interval)
		n++
	}
	if q.due {
		again = max(q.wait(now), time.Millisecond)
	}
	return lines, n, again
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
