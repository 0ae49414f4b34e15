package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// load is a workload in which a new message leaves when older ones have
// arrived, with its users logged in.
type load struct {
	us        []*user
	sent      atomic.Int64 // messages
	delivered atomic.Int64 // copies
	copies    int          // of each message
	begin     func()
	end       func()                        // after draining is set: returns when nothing more is sent
	write     func(body []byte)             // sends one more message, after the end
	due       func(ts []tally, i int) int64 // see settle
}

// copies has the workloads that are loads: how many copies of a message arrive.
var copies = map[string]func() int{
	"dm":     func() int { return 1 },
	"fanout": func() int { return *members },
	"rooms": func() int {
		if reflects[*proto] {
			return *members
		}
		return *members - 1
	},
}

// run measures the load.
func (l *load) run(r *Result) {
	if *sustained {
		sustain(r, l)
		return
	}
	l.begin()
	measure(r, &l.delivered)
	l.stop()
	settle(r, l.us, l.due)
}

func (l *load) stop() {
	draining.Store(true)
	l.end()
}

// send sends a message without flushing it.
func (l *load) send(from *user, to string, toRoom bool, body []byte) {
	check(from.Send(to, toRoom, body))
	l.sent.Add(1)
}

// dm: each pair keeps window messages on the way from its one end to the other.
func dm() *load {
	l := &load{us: crowd("u", 0, 2**pairs, nil), copies: copies["dm"](), due: fromPartner, end: func() {}}
	var starts []func()
	for i := 0; i < *pairs; i++ {
		from, to := l.us[2*i], l.us[2*i+1]
		buf := make([]byte, 0, 64)
		var mu sync.Mutex // a reply to a keep-alive may flush, and bring answers, before the first push ends
		push := func(k int) {
			mu.Lock()
			defer mu.Unlock()
			if draining.Load() {
				return
			}
			for ; k > 0; k-- {
				l.send(from, to.name, false, body(buf))
			}
			if err := from.c.flush(); err != nil && !stopping.Load() {
				check(err)
			}
		}
		listen(from, nil, nil)
		listen(to, nil, func(k int) { l.delivered.Add(int64(k)); push(k) })
		starts = append(starts, func() { push(*window) })
	}
	l.begin = func() {
		for _, start := range starts {
			start()
		}
	}
	l.write = func(b []byte) {
		l.send(l.us[0], l.us[1].name, false, b)
		check(l.us[0].c.flush())
	}
	return l
}

// fanout: senders in one room; a sender has at most window messages that the
// average member has yet to receive.
func fanout() *load {
	l := &load{copies: copies["fanout"]()}
	tx := crowd("s", 0, *senders, func(u *user) error { // drain the joins of those that follow
		err := u.Join("#room")
		listen(u, nil, nil)
		return err
	})
	room := newRoom(l, "#room", tx, *members)
	rx := crowd("u", 0, *members, func(u *user) error {
		err := u.Join("#room")
		listen(u, nil, room.arrived)
		return err
	})
	time.Sleep(time.Second)
	l.us = append(rx, tx...)
	l.begin, l.end, l.write = room.begin, room.end, room.write
	l.due = func(ts []tally, i int) int64 { // each user gets what others sent
		var others int64
		for k := range tx {
			if len(rx)+k != i {
				others += ts[len(rx)+k].sent
			}
		}
		return others
	}
	return l
}

// everybodyWrites: several rooms, each with members of its own who all write.
// A member has at most window messages that the average member has yet to
// receive.
func everybodyWrites() *load {
	l := &load{copies: copies["rooms"]()}
	var all []*room
	for i := range *rooms {
		name := fmt.Sprintf("#room%d", i)
		place := newRoom(l, name, nil, l.copies)
		place.senders = crowd("u", i**members, *members, func(u *user) error {
			err := u.Join(name)
			listen(u, nil, place.arrived)
			return err
		})
		l.us = append(l.us, place.senders...)
		all = append(all, place)
	}
	time.Sleep(time.Second)
	l.begin = func() {
		for _, each := range all {
			each.begin()
		}
	}
	l.end = func() {
		for _, each := range all {
			each.end()
		}
	}
	l.write = all[0].write
	l.due = func(ts []tally, i int) int64 {
		first, others := i-i%*members, int64(0)
		for k := first; k < first+*members; k++ {
			if k != i {
				others += ts[k].sent
			}
		}
		return others
	}
	return l
}

// room keeps messages in flight in one room, its senders taking turns.
type room struct {
	l       *load
	name    string
	senders []*user
	copies  int
	n       atomic.Int64 // copies that have arrived
	wake    chan struct{}
	over    chan struct{}
}

func newRoom(l *load, name string, senders []*user, copies int) *room {
	return &room{l: l, name: name, senders: senders, copies: copies,
		wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// arrived counts copies, and lets as many new messages leave.
func (x *room) arrived(k int) {
	x.l.delivered.Add(int64(k))
	x.n.Add(int64(k))
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *room) begin() {
	go func() {
		defer close(x.over)
		buf, sent := make([]byte, 0, 64), 0
		for !draining.Load() {
			free := *window*len(x.senders) - sent + int(x.n.Load())/x.copies
			for range free {
				x.l.send(x.senders[sent%len(x.senders)], x.name, true, body(buf))
				sent++
			}
			if free > 0 {
				for _, u := range x.senders {
					check(u.c.flush())
				}
			}
			<-x.wake
		}
	}()
}

func (x *room) end() {
	x.arrived(0)
	<-x.over
}

func (x *room) write(b []byte) {
	x.l.send(x.senders[0], x.name, true, b)
	check(x.senders[0].c.flush())
}
