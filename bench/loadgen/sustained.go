package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"
)

// Sustained is what a message cost in all: CPU time of the server in
// microseconds, over all its threads, divided by the messages sent.
type Sustained struct {
	Messages int64
	Path     float64 // until all were delivered and acknowledged
	Deferred float64 // from then until the server had caught up
	Total    float64 // both
	Stop     float64 `json:",omitempty"` // stopping the server afterwards; not in Total
	CaughtUp float64 // seconds after the last acknowledgement
	Disk     float64 `json:",omitempty"` // bytes by which the store's files have grown
	Written  float64 `json:",omitempty"` // bytes that were written to make them
}

const (
	catchUp  = 20 * time.Minute // longest time to wait for it
	markRank = 30_000_000       // of the word in the last message: longer than any other word
)

// sustain runs a load, waits until the server has caught up with all work that
// it deferred, and divides all of its CPU time by all messages.  It looks at
// the server from outside only: the CPU time stands still, and a search finds
// the last message and says that it is complete.
func sustain(r *Result, l *load) {
	*words = true
	texts()
	settleDown()
	idle := idleShare(2 * time.Second)
	disk0 := diskSizes()
	c0, o0, b0, w0, t0 := cpu(*pid), ownCPU(), busy(), written(*pid), time.Now()
	l.begin()
	time.Sleep(*warm + *duration)
	l.stop()
	mark := word(rand.New(rand.NewPCG(rand.Uint64(), 0)), markRank)
	l.write([]byte("the last message has the word " + mark))
	l.arrive()
	settle(r, l.us, l.due)
	c1, o1, t1 := cpu(*pid), ownCPU(), time.Now()
	b1 := busy()

	c2, t2 := caughtUp(l, mark, idle)
	w2 := written(*pid)
	n := l.sent.Load()
	us := func(seconds float64) float64 { return seconds * 1e6 / float64(n) }
	s := &Sustained{Messages: n, Path: us(c1 - c0), Deferred: us(c2 - c1), Total: us(c2 - c0),
		CaughtUp: t2.Sub(t1).Seconds(), Written: (w2 - w0) / float64(n)}
	fill(r, l.delivered.Load(), t1.Sub(t0).Seconds(), c1-c0, o1-o0)
	r.ServerCPU, r.PerCPUSec = c2-c0, float64(r.Done)/(c2-c0)
	r.Noise = (b1 - b0 - (c1 - c0) - (o1 - o0)) / r.Wall
	r.Sustained = s
	if *disk != "" {
		stopping.Store(true)
		leave(l.us)
		s.Stop = us(stopServer())
		s.Disk = float64(growth(disk0, diskSizes())) / float64(n)
	}
}

// arrive waits until each message has been delivered to all of its recipients.
func (l *load) arrive() {
	due := func() int64 { return l.sent.Load() * int64(l.copies) }
	for end := time.Now().Add(patience); l.delivered.Load() < due(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			check(fmt.Errorf("%d copies were delivered, not %d", l.delivered.Load(), due()))
		}
	}
}

// idleShare is how much of a core the server uses just now.
func idleShare(d time.Duration) float64 {
	c, t := cpu(*pid), time.Now()
	time.Sleep(d)
	return (cpu(*pid) - c) / time.Since(t).Seconds()
}

// caughtUp waits until the server is as idle as before the load for a while,
// and finds the last message.  It returns the CPU time and the time when that
// began.
func caughtUp(l *load, mark string, idle float64) (float64, time.Time) {
	const slice = 250 * time.Millisecond
	allowed := max(2*idle, 0.01)
	end := time.Now().Add(catchUp)
	c, t := cpu(*pid), time.Now()
	for time.Now().Before(end) {
		if share := idleShare(slice); share > allowed+0.02 { // a short task is no load, but is in the mean below
			c, t = cpu(*pid), time.Now()
			continue
		}
		if time.Since(t) < *still {
			continue
		}
		if quiet := (cpu(*pid) - c) / time.Since(t).Seconds(); quiet <= allowed && complete(l.us[0], mark) {
			return c, t
		}
		c, t = cpu(*pid), time.Now()
	}
	check(fmt.Errorf("the server has not caught up after %v", catchUp))
	return 0, t
}

// complete is whether the server finds the message with the mark and has
// looked at all others.  A server without a search has nothing to catch up with there.
func complete(u *user, mark string) bool {
	s, ok := u.Client.(Searcher)
	if !ok {
		return true
	}
	found, complete, err := s.Search(mark)
	check(err)
	if complete && !found {
		check(fmt.Errorf("the search for %q is complete and does not have the last message", mark))
	}
	return complete
}

func diskSizes() map[string]int64 {
	if *disk == "" {
		return nil
	}
	sizes, err := occupied(*disk)
	check(err)
	return sizes
}

// stopServer stops the server as an operator does, so that its files are as it
// leaves them, and returns the CPU time that took, in seconds.
func stopServer() float64 {
	c0 := cpu(*pid)
	c := c0
	check(syscall.Kill(*pid, syscall.SIGTERM))
	for end := time.Now().Add(patience); running(*pid); time.Sleep(2 * time.Millisecond) {
		c = max(c, cpu(*pid))
		if time.Now().After(end) {
			check(fmt.Errorf("the server does not stop on SIGTERM"))
		}
	}
	return c - c0
}

// running is whether a process has not ended; one that nobody has waited for
// yet has ended.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	return !strings.Contains("ZX", afterComm(b)[0])
}
