package main

import (
	"time"
)

// Online is what it costs that people come online.  Times are milliseconds of
// the server's CPU per arrival; those of its main thread leave out threads that
// check passwords or write.
type Online struct {
	Alone, AloneMain     float64 // nobody else is there
	Watched, WatchedMain float64 // as many others are, in the same room
	Frames, KiB          float64 // what each of these others was sent meanwhile
}

// online: people who are members of a room log in, once with nobody else
// online and once with as many other members online.  The difference is what it
// costs to tell of them, and to tell them.
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

// arrivals logs people in, and tells what each cost the server until all was
// told, in milliseconds, and how many seconds it took.
func arrivals(then func(*user) error) (us []*user, srv, main, wall, own float64) {
	c0, m0, o0, t0 := cpu(*pid), mainCPU(*pid), ownCPU(), time.Now()
	us = crowd("u", *members, *members, then)
	wall = time.Since(t0).Seconds()
	settleDown()
	per := 1000 / float64(len(us))
	return us, (cpu(*pid) - c0) * per, (mainCPU(*pid) - m0) * per, wall, ownCPU() - o0
}

// settleDown waits until what is summarised by the second has been told.
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

// heard is the lines and bytes that all of them have received so far.
func heard(us []*user) (lines, bytes int64) {
	for _, u := range us {
		lines, bytes = lines+u.c.linesIn.Load(), bytes+u.c.bytesIn.Load()
	}
	return lines, bytes
}
