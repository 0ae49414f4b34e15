package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func reader() *qscp {
	x := newQscp(nil, options{receipts: newReporting(time.Hour)}).(*qscp)
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
		if lines, n := to.receipts.take(); lines != c.want || n != c.n || to.receipts.due {
			t.Error(lines, n)
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

// The default interval is the one that the protocol asks clients for.
func TestIntervalIsTheClients(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(page)), " ")
	found := regexp.MustCompile(`once per conversation in ([\d.]+) (ms|s)\b`).FindStringSubmatch(text)
	if found == nil {
		t.Fatal("docs/protocol.md has no interval")
	}
	n, _ := strconv.ParseFloat(found[1], 64)
	unit := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second}[found[2]]
	if want := time.Duration(n * float64(unit)); clientReceipts != want {
		t.Errorf("%v; the protocol says %v", clientReceipts, want)
	}
}
