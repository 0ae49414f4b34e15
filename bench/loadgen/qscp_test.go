package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func pair() (from, to *qscp) {
	return newQscp(nil, options{}).(*qscp), newQscp(nil, options{}).(*qscp)
}

func chatLine(x *qscp, n uint64) []byte {
	return fmt.Appendf(nil, `{"type":"chat","conversation":"c1","seq":%d,"id":"%s","from":"u0","to":"u1","body":"hello","time":1}`,
		n, x.appendID(nil, n))
}

func roomLine(x *qscp, n uint64) []byte {
	return bytes.Replace(chatLine(x, n), []byte(`"to":"u1"`), []byte(`"to":"#room"`), 1)
}

func ackLine(x *qscp, n uint64) []byte {
	return fmt.Appendf(nil, `{"type":"chat_ack","id":"%s","conversation":"c1","seq":%d,"time":1}`, x.appendID(nil, n), n)
}

// Ids are 32 lower-case digits, rise, and can be read back.
func TestIDs(t *testing.T) {
	x, _ := pair()
	last := ""
	for _, n := range []uint64{1, 2, 16, 1<<28 - 1, 1 << 28, 1<<40 - 1} {
		id := string(x.appendID(nil, n))
		if len(id) != 32 || id != strings.ToLower(id) || id <= last {
			t.Errorf("%q does not rise after %q", id, last)
		}
		if got, token, ok := parseID([]byte(id)); !ok || uint64(got) != n || token != x.token {
			t.Errorf("%q was read as %d of %08x, %v", id, got, token, ok)
		}
		last = id
	}
}

// Messages that come in order are counted, and their bodies handed on.
func TestMessagesAreCounted(t *testing.T) {
	from, to := pair()
	for n := uint64(1); n <= 3; n++ {
		err := to.message(chatLine(from, n), func(b []byte) {
			if !bytes.Equal(b, []byte("hello")) {
				t.Errorf("body %q", b)
			}
		})
		if err != nil {
			t.Error(err)
		}
		if err := from.ack(ackLine(from, n)); err != nil {
			t.Error(err)
		}
	}
	if _, acked, _ := from.Tally(); acked != 3 {
		t.Errorf("%d acknowledged", acked)
	}
	if _, _, received := to.Tally(); received != 3 {
		t.Errorf("%d received", received)
	}
}

// A message or an acknowledgement that is missing, doubled or another user's is an error.
func TestWrongOrderIsAnError(t *testing.T) {
	for _, order := range [][]uint64{{2}, {1, 1}, {1, 3}, {1, 2, 1}} {
		from, to := pair()
		var message, ack error
		for _, n := range order {
			message = to.message(chatLine(from, n), func([]byte) {})
			ack = from.ack(ackLine(from, n))
		}
		if message == nil || ack == nil {
			t.Errorf("%v: %v, %v", order, message, ack)
		}
	}
	from, to := pair()
	if from.ack(ackLine(to, 1)) == nil {
		t.Error("took another connection's acknowledgement")
	}
}

// In a room each sender has an order of its own, and takes turns with others.
func TestSendersTakeTurns(t *testing.T) {
	a, b := pair()
	_, to := pair()
	for _, l := range [][]byte{roomLine(a, 1), roomLine(b, 1), roomLine(b, 2), roomLine(a, 2), roomLine(b, 3)} {
		if err := to.message(l, func([]byte) {}); err != nil {
			t.Error(err)
		}
	}
	for _, l := range [][]byte{roomLine(a, 2), roomLine(b, 5)} {
		if to.message(l, func([]byte) {}) == nil {
			t.Errorf("took %s", l)
		}
	}
}

// A user receives neither their own messages nor those for others.
func TestMessagesOfOthersAreAnError(t *testing.T) {
	a, to := pair()
	if to.message(roomLine(to, 1), func([]byte) {}) == nil {
		t.Error("took our own message")
	}
	b, _ := pair()
	if err := to.message(chatLine(a, 1), func([]byte) {}); err != nil {
		t.Error(err)
	}
	if to.message(chatLine(b, 1), func([]byte) {}) == nil {
		t.Error("took a second sender outside of a room")
	}
}

// An answer goes to the request that waits for it, one at a time.
func TestAnswers(t *testing.T) {
	x, _ := pair()
	ack := []byte(`{"type":"room_ack","ref":"join","room":"#room"}`)
	if err := x.other(ack); err != nil || <-x.answers != "" {
		t.Error("did not hand on the acknowledgement", err)
	}
	refusal := []byte(`{"type":"error","code":"unknown_room","message":"There is no such room.","ref":"join"}`)
	if err := x.other(refusal); err != nil || <-x.answers != "unknown_room" {
		t.Error("did not hand on the refusal", err)
	}
	if x.other(ack) != nil || x.other(ack) == nil {
		t.Error("took an answer that nobody asked for")
	}
}

// A device resumes from where it came into its room.
func TestPositions(t *testing.T) {
	d := newDevices()
	x := newQscp(nil, options{devices: d}).(*qscp)
	x.user = "u1"
	for _, last := range []int{7, 9} { // the second one reports another change
		l := fmt.Appendf(nil, `{"type":"room","room":{"name":"#room","conversation":"c5"},"first_seq":8,"last_seq":%d}`, last)
		if err := x.other(l); err != nil {
			t.Error(err)
		}
	}
	if got := d.resume("u1"); got != `{"type":"resume","positions":[{"conversation":"c5","seq":7}]}`+"\n" {
		t.Error(got)
	}
	if got := d.resume("u2"); got != `{"type":"resume","positions":[]}`+"\n" {
		t.Error(got)
	}
}

// Each message has to be acknowledged, and received by all of its recipients.
func TestCompare(t *testing.T) {
	us := []*user{{name: "u0"}, {name: "u1"}}
	r := &Result{}
	if err := compare(r, []tally{{3, 3, 2}, {2, 2, 3}}, us, fromPartner); err != nil || r.Sent != 5 || r.Acked != 5 {
		t.Error(err, r.Sent, r.Acked)
	}
	for _, ts := range [][]tally{{{3, 3, 2}, {2, 2, 2}}, {{3, 2, 2}, {2, 2, 3}}, {{3, 3, 3}, {2, 2, 3}}} {
		if compare(r, ts, us, fromPartner) == nil {
			t.Errorf("%v passed", ts)
		}
	}
}

// A sample belongs to the phase in which it began.
func TestSamples(t *testing.T) {
	var s samples
	for i := range int64(10) {
		s.add(i, 1e6*i)
	}
	if _, _, most := s.between(3, 6).quantiles(); most != 5 {
		t.Errorf("the longest was %v ms", most)
	}
}

// A frame that reports a failure is an error; other unexpected frames are skipped.
func TestOtherFrames(t *testing.T) {
	x, _ := pair()
	for _, l := range []string{
		`{"type":"online_users","version":1,"users":[]}`,
		`{"type":"presence","version":2,"users":[{"user":"u1","status":"online"}]}`,
		`{"type":"pong"}`,
		`{"type":"room","room":{"name":"#room","conversation":"c5"},"first_seq":1,"last_seq":0}`,
		`{"type":"members","conversation":"c5","count":2,"changed":[{"user":"u1","role":"member"}]}`,
		`{"type":"invited","room":{"name":"#room","conversation":"c5"},"by":"u1"}`,
		`{"type":"typing","to":"#room","users":["u1"],"count":1}`,
	} {
		if err := x.other([]byte(l)); err != nil {
			t.Error(err)
		}
	}
	for _, l := range []string{
		`{"type":"chat_nack","id":"0","code":"recipient_offline","message":"That person is offline."}`,
		`{"type":"error","code":"not_json","message":"The line is not JSON."}`,
		`{"type":"bye","reason":"shutdown","message":"The server is shutting down."}`,
		`{"type":"room_left","conversation":"c5","name":"#room","reason":"removed"}`,
		`{"type":"error","code":"bad_query","message":"The search contains no word.","ref":"search"}`,
		`{"type":"later"}`,
		`{`,
	} {
		if x.other([]byte(l)) == nil {
			t.Errorf("passed over %s", l)
		}
	}
}
