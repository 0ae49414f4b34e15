package main

import (
	"time"
)

// Online is the cost of users coming online.  Times are milliseconds of
// the server's CPU per arrival; those of its main thread leave out threads that
// check passwords or write.
type Online struct {
	Alone, AloneMain     float64 // no one else is online
	Watched, WatchedMain float64 // as many others are online, in the same room
	Frames, KiB          float64 // sent to each of these others meanwhile
}

// online: members of a room log in, once with no one else online and once with
// as many other members online.  The difference is the cost of notifying those
// members, and of sending their presence to the arrivals.
func online(r *Result) {
	const room = "#room"
	r.Online = &Online{}
	arrive := func(u *user) error {
		if !lasting[*proto] {
			if err := u.Join(room); err != nil {
				return err
			}
		}
		listen(u, nil, nil)
		return nil
	}
	member := func(u *user) error {
		err := u.Join(room)
		listen(u, nil, nil)
		return err
	}
	if lasting[*proto] {
		leave(crowd("u", *members, *members, member))
	}
	us, srv, main, _, _ := arrivals(arrive)
	r.Online.Alone, r.Online.AloneMain = srv, main
	leave(us)

	observers := crowd("u", 0, *members, member)
	settleDown()
	lines, bytes := heard(observers)
	t0, b0, o0, c0 := time.Now(), busy(), ownCPU(), cpu(*pid)
	us, srv, main, wall, own := arrivals(arrive)
	lines1, bytes1 := heard(observers)
	r.Online.Watched, r.Online.WatchedMain = srv, main
	r.Online.Frames = float64(lines1-lines) / float64(*members)
	r.Online.KiB = float64(bytes1-bytes) / float64(*members) / 1024
	fill(r, int64(len(us)), wall, srv*float64(len(us))/1000, own)
	r.Noise = (busy() - b0 - (cpu(*pid) - c0) - (ownCPU() - o0)) / time.Since(t0).Seconds()
}

// arrivals logs users in.  It returns what each cost the server, in
// milliseconds, until all notifications were sent, and how many seconds it took.
func arrivals(then func(*user) error) (us []*user, srv, main, wall, own float64) {
	c0, m0, o0, t0 := cpu(*pid), mainCPU(*pid), ownCPU(), time.Now()
	us = crowd("u", *members, *members, then)
	wall = time.Since(t0).Seconds()
	settleDown()
	per := 1000 / float64(len(us))
	return us, (cpu(*pid) - c0) * per, (mainCPU(*pid) - m0) * per, wall, ownCPU() - o0
}

// settleDown waits until the summaries, which are sent once a second, have been sent.
func settleDown() { time.Sleep(3 * time.Second) }

func leave(us []*user) {
	for _, u := range us {
		u.gone.Store(true)
		u.Bye()
	}
	settleDown()
	for _, u := range us {
		u.c.h.Close()
	}
}

// heard returns the lines and bytes that all of them have received so far.
func heard(us []*user) (lines, bytes int64) {
	for _, u := range us {
		lines, bytes = lines+u.c.linesIn.Load(), bytes+u.c.bytesIn.Load()
	}
	return lines, bytes
}
