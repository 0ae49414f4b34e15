package main

import (
	"fmt"
	"sort"
	"sync"
	"time"
)

// settle ends a workload on a server that acknowledges.  Nothing more is sent,
// and within ten seconds each message has to be acknowledged and delivered to
// all of its recipients.  A message that was delivered but not acknowledged, or
// the other way round, ends the run with an error.  due returns how many
// messages the user at i has to have received.
func settle(r *Result, us []*user, due func(ts []tally, i int) int64) {
	draining.Store(true)
	if _, ok := us[0].Client.(Acker); !ok {
		return
	}
	var wrong error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if wrong = compare(r, tallies(us), us, due); wrong == nil {
			return
		}
	}
	check(wrong)
}

type tally struct{ sent, acked, received int64 }

func tallies(us []*user) []tally {
	ts := make([]tally, len(us))
	for i, u := range us {
		ts[i].sent, ts[i].acked, ts[i].received = u.Client.(Acker).Tally()
	}
	return ts
}

// compare adds the numbers of sent and acknowledged messages to r.
func compare(r *Result, ts []tally, us []*user, due func(ts []tally, i int) int64) error {
	r.Sent, r.Acked = 0, 0
	var wrong error
	for i, t := range ts {
		r.Sent, r.Acked = r.Sent+t.sent, r.Acked+t.acked
		if want := due(ts, i); wrong == nil && (t.received != want || t.acked != t.sent) {
			wrong = fmt.Errorf("%s sent %d messages, %d were acknowledged; it received %d of %d",
				us[i].name, t.sent, t.acked, t.received, want)
		}
	}
	return wrong
}

// fromPartner is due for pairs: users at 0 and 1, 2 and 3 and so on write to each other.
func fromPartner(ts []tally, i int) int64 { return ts[i^1].sent }

// times collects durations from several goroutines.
type times struct {
	mu sync.Mutex
	ms []float64
}

func (t *times) add(ns int64) {
	t.mu.Lock()
	t.ms = append(t.ms, float64(ns)/1e6)
	t.mu.Unlock()
}

func (t *times) quantiles() (p50, p99, most float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ms) == 0 {
		return 0, 0, 0
	}
	sort.Float64s(t.ms)
	return t.ms[len(t.ms)/2], t.ms[len(t.ms)*99/100], t.ms[len(t.ms)-1]
}
