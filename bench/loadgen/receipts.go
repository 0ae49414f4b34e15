package main

import (
	"fmt"
	"sync/atomic"
	"time"
)

// How our client reports: a moment after a position moved, and each kind again
// only after a while.  See "How often" in docs/protocol.md.
const (
	clientPause    = 200 * time.Millisecond
	clientReceived = 500 * time.Millisecond
	clientRead     = time.Second
)

// reporting is how users report what they have received and read.
type reporting struct {
	pause          time.Duration // before a report
	received, read time.Duration // at least between two reports of that kind, per conversation
	on             atomic.Bool
}

func newReporting(pause, received, read time.Duration) *reporting {
	x := &reporting{pause: pause, received: received, read: read}
	x.on.Store(true)
	return x
}

// longest is after how long all that moved has been reported.
func (x *reporting) longest() time.Duration { return x.pause + max(x.received, x.read) }

func (x *reporting) active() bool { return x != nil && x.on.Load() }

// Receipts is what reports cost: CPU time of the server in microseconds per
// message, without them and with them.
type Receipts struct {
	Without, With float64
	Cost          float64 // their difference
	PerMessage    float64 // reports that the generator sent, per message
	Heard         float64 // reports that the server passed on, per message
}

const turns = 3 // without and with

// readers: pairs write at a fixed rate.  Recipients report nothing, and then
// what they received and read, in turns within the run.
func readers(r *Result) {
	us := crowd("u", 0, 2**pairs, nil)
	var n atomic.Int64
	for _, u := range us {
		if _, ok := u.Client.(Reader); !ok {
			check(fmt.Errorf("receipts needs an adapter with Reports"))
		}
		listen(u, nil, func(k int) { n.Add(int64(k)) })
	}
	settleDown()
	over := steady(us)
	var cpus, ns [2]float64
	t0, c0, o0, b0 := time.Now(), cpu(*pid), ownCPU(), busy()
	var sent, heard int64
	for range turns {
		for with := range 2 {
			opt.receipts.on.Store(with == 1)
			time.Sleep(max(*warm, 2*opt.receipts.longest()))
			s, h := reports(us)
			c, k := cpu(*pid), n.Load()
			time.Sleep(*duration)
			cpus[with] += cpu(*pid) - c
			ns[with] += float64(n.Load() - k)
			if with == 1 {
				s1, h1 := reports(us)
				sent, heard = sent+s1-s, heard+h1-h
			}
		}
	}
	c, o, b, t := cpu(*pid)-c0, ownCPU()-o0, busy()-b0, time.Since(t0).Seconds()
	draining.Store(true)
	<-over
	settle(r, us, fromPartner)
	awaitReports(us)
	fill(r, n.Load(), t, c, o)
	r.Noise = (b - c - o) / t
	x := &Receipts{Without: cpus[0] * 1e6 / ns[0], With: cpus[1] * 1e6 / ns[1],
		PerMessage: float64(sent) / ns[1], Heard: float64(heard) / ns[1]}
	x.Cost = x.With - x.Without
	r.Receipts = x
	r.PerCPUSec = 1e6 / x.With
}

// reports counts the reports of all users so far.
func reports(us []*user) (sent, heard int64) {
	for _, u := range us {
		s, h := u.Client.(Reader).Reports()
		sent, heard = sent+s, heard+h
	}
	return sent, heard
}

// awaitReports waits until all messages were reported to their senders.
// Messages of a phase without reports were reported with those of the next.
func awaitReports(us []*user) {
	for end := time.Now().Add(2*opt.receipts.longest() + 10*time.Second); ; time.Sleep(20 * time.Millisecond) {
		var late *user
		for _, u := range us {
			if !u.Client.(Reader).Settled() {
				late = u
			}
		}
		if late == nil {
			return
		}
		if time.Now().After(end) {
			check(fmt.Errorf("%s was not notified that its last message was received and read", late.name))
		}
	}
}
