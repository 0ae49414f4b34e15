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

// A message or an acknowledgement that is missing, doubled or somebody else's is an error.
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

// Whatever says that something went wrong is an error, whatever does not is passed over.
func TestOtherFrames(t *testing.T) {
	x, _ := pair()
	for _, l := range []string{
		`{"type":"online_users","version":1,"users":[]}`,
		`{"type":"presence","version":2,"users":[{"user":"u1","status":"online"}]}`,
		`{"type":"pong"}`,
	} {
		if err := x.other([]byte(l)); err != nil {
			t.Error(err)
		}
	}
	for _, l := range []string{
		`{"type":"chat_nack","id":"0","code":"recipient_offline","message":"That person is offline."}`,
		`{"type":"error","code":"not_json","message":"The line is not JSON."}`,
		`{"type":"bye","reason":"shutdown","message":"The server is shutting down."}`,
		`{"type":"later"}`,
		`{`,
	} {
		if x.other([]byte(l)) == nil {
			t.Errorf("passed over %s", l)
		}
	}
}
