package main

import (
	"fmt"
	"sort"
	"sync"
	"time"
)

// settle ends a workload on a server that acknowledges: nobody sends any more,
// and within ten seconds each message sent has to be acknowledged and
// delivered.  A message that was delivered and never acknowledged, or the
// other way round, ends the run with an error.
func settle(r *Result, us []*user) {
	draining.Store(true)
	if _, ok := us[0].Client.(Acker); !ok {
		return
	}
	var received int64
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		r.Sent, r.Acked, received = 0, 0, 0
		for _, u := range us {
			s, a, d := u.Client.(Acker).Tally()
			r.Sent, r.Acked, received = r.Sent+s, r.Acked+a, received+d
		}
		if r.Sent == r.Acked && r.Sent == received {
			return
		}
	}
	check(fmt.Errorf("%d messages sent, %d acknowledged, %d delivered", r.Sent, r.Acked, received))
}

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
