package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

func reader() *qscp {
	x := newQscp(nil, options{receipts: newReporting(time.Hour, 500*time.Millisecond, time.Second)}).(*qscp)
	x.user = "u0"
	return x
}

// A report has the newest position: received and read in a pair, read in a room.
func TestReportsAreCoalesced(t *testing.T) {
	for _, c := range []struct {
		line func(x *qscp, n uint64) []byte
		want string
		n    int64
	}{
		{chatLine, `{"type":"received","conversation":"c1","seq":3}` + "\n" + `{"type":"read","conversation":"c1","seq":3}` + "\n", 2},
		{roomLine, `{"type":"read","conversation":"c1","seq":3}` + "\n", 1},
	} {
		from, to := newQscp(nil, options{}).(*qscp), reader()
		for n := uint64(1); n <= 3; n++ {
			if err := to.message(c.line(from, n), func([]byte) {}); err != nil {
				t.Error(err)
			}
		}
		if !to.receipts.due {
			t.Error("no report is due")
		}
		if lines, n, again := to.receipts.take(time.Now()); lines != c.want || n != c.n || again != 0 || to.receipts.due {
			t.Error(lines, n, again)
		}
	}
}

// A kind of report waits for its own interval, and its last position is sent.
func TestReportsAreNotTooOften(t *testing.T) {
	from, to := newQscp(nil, options{}).(*qscp), reader()
	at := time.Now()
	for _, step := range []struct {
		ms    int
		want  []string
		again int
	}{
		{0, []string{"received", "read"}, 0},
		{200, nil, 300},
		{500, []string{"received"}, 500},
		{1000, []string{"received", "read"}, 0},
	} {
		if err := to.message(chatLine(from, uint64(to.received.Load()+1)), func([]byte) {}); err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, kind := range step.want {
			want += fmt.Sprintf(`{"type":"%s","conversation":"c1","seq":%d}`+"\n", kind, to.received.Load())
		}
		lines, n, again := to.receipts.take(at.Add(time.Duration(step.ms) * time.Millisecond))
		if lines != want || n != int64(len(step.want)) || again != time.Duration(step.again)*time.Millisecond {
			t.Errorf("after %d ms: %q, %d, %v", step.ms, lines, n, again)
		}
	}
}

// Without reports nothing is noted.
func TestReportsCanBeOff(t *testing.T) {
	from, to := newQscp(nil, options{}).(*qscp), reader()
	to.o.receipts.on.Store(false)
	if err := to.message(chatLine(from, 1), func([]byte) {}); err != nil || to.receipts.due {
		t.Error(err, to.receipts.due)
	}
}

// Reports of others rise, and are never ahead of what was sent.
func TestReportsOfOthers(t *testing.T) {
	report := func(kind string, seq int) []byte {
		return fmt.Appendf(nil, `{"type":"%s","conversation":"c1","user":"u1","seq":%d}`, kind, seq)
	}
	x := reader()
	x.sent.Store(3)
	for _, l := range [][]byte{report("delivered", 2), report("read", 1), report("delivered", 3)} {
		if err := x.other(l); err != nil || x.Settled() {
			t.Error(err)
		}
	}
	if err := x.other(report("read", 3)); err != nil || !x.Settled() {
		t.Error(err)
	}
	if _, heard := x.Reports(); heard != 4 {
		t.Errorf("%d were counted", heard)
	}
	for _, l := range [][]byte{report("read", 3), report("read", 2), report("delivered", 4)} {
		if x.other(l) == nil {
			t.Errorf("took %s", l)
		}
	}
	if silent, _ := pair(); silent.other(report("read", 1)) == nil {
		t.Error("took a report without the feature")
	}
}

// The default intervals are those of the client, as far as it has each of them.
func TestIntervalsAreTheClients(t *testing.T) {
	code, err := os.ReadFile("../../client/qscp_client/core/receipts.py")
	if err != nil {
		t.Fatal(err)
	}
	for name, ours := range map[string]time.Duration{
		"_PAUSE_S": clientPause, "_RECEIVED_S": clientReceived, "_READ_S": clientRead,
	} {
		found := regexp.MustCompile(name + `: Final = ([\d.]+)`).FindSubmatch(code)
		if found == nil {
			t.Logf("the client has no %s", name)
			continue
		}
		if s, _ := strconv.ParseFloat(string(found[1]), 64); time.Duration(s*float64(time.Second)) != ours {
			t.Errorf("%s is %s s, not %v", name, found[1], ours)
		}
	}
}
