package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	stormRoom = "#storm"
	missed    = 10                      // messages in the room while its members are away
	aftermath = 1500 * time.Millisecond // summaries of an event, sent once a second, belong to it
)

// storm: pairs write at a low fixed rate.  The latency of their messages is
// measured in four phases: with nothing else going on, while many users join a
// room, while the connections of these users are cut and all of them reconnect,
// and afterwards.  These users are in another process, with a lower priority:
// the time that the generator spends on them is not the server's.
func storm(base Result) []*Result {
	var arrived, acked samples
	opt.onAck = func(ns int64) { acked.add(time.Now().UnixNano()-ns, ns) }
	others := startStormers()
	us := crowd("u", 0, 2**pairs, nil)
	for _, u := range us {
		listen(u, func(b []byte) {
			now := time.Now().UnixNano()
			if t, ok := parseHex(b[:16]); ok {
				arrived.add(int64(t), now-int64(t))
			}
		}, nil)
	}
	others.wait() // all are logged in
	over := steady(us)
	time.Sleep(*warm)

	var phases []*Result
	phase := func(name string, event func(r *Result)) {
		r := base
		r.Workload = "storm-" + name
		c0, o0, k0, b0, t0 := cpu(*pid), ownCPU(), others.cpu(), busy(), time.Now()
		event(&r)
		c, o, k, b, t := cpu(*pid)-c0, ownCPU()-o0, others.cpu()-k0, busy()-b0, time.Now()
		between := func(s *samples) (float64, float64, float64, int64) {
			ts := s.between(t0.UnixNano(), t.UnixNano())
			p50, p99, most := ts.quantiles()
			return p50, p99, most, int64(len(ts.ms))
		}
		time.Sleep(100 * time.Millisecond) // for those that were sent at the end of it
		n := int64(0)
		r.P50, r.P99, r.Max, n = between(&arrived)
		r.AckP50, r.AckP99, r.AckMax, _ = between(&acked)
		if r.Took != 0 {
			n = int64(*members) // joins or reconnects
		}
		fill(&r, n, t.Sub(t0).Seconds(), c, o+k)
		r.Noise = (b - c - o - k) / r.Wall
		phases = append(phases, &r)
	}
	phase("quiet", func(*Result) { time.Sleep(*duration) })
	phase("join", func(r *Result) { r.Took, r.Retries = others.do("join"); time.Sleep(aftermath) })
	phase("reconnect", func(r *Result) { r.Took, r.Retries = others.do("reconnect"); time.Sleep(aftermath) })
	phase("after", func(*Result) { time.Sleep(*duration) })

	draining.Store(true)
	<-over
	last := phases[len(phases)-1]
	settle(last, us, fromPartner)
	others.do("end")
	others.in.Close()
	check(others.cmd.Wait())
	stopping.Store(true)
	return phases
}

// process is the other process, as storm sees it.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startStormers() *process {
	args := append([]string{"-n", "10"}, os.Args[:len(os.Args)-flag.NArg()]...)
	p := &process{cmd: exec.Command("nice", append(args, "stormers")...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive us
	in, err := p.cmd.StdinPipe()
	check(err)
	out, err := p.cmd.StdoutPipe()
	check(err)
	p.in, p.out = in, bufio.NewScanner(out)
	check(p.cmd.Start())
	return p
}

// do sends the other process a command, and waits until it is done.
func (p *process) do(what string) (took float64, retries int) {
	_, err := fmt.Fprintln(p.in, what)
	check(err)
	return p.wait()
}

func (p *process) wait() (took float64, retries int) {
	if !p.out.Scan() {
		check(fmt.Errorf("the stormers ended"))
	}
	_, err := fmt.Sscan(p.out.Text(), &took, &retries)
	check(err)
	return took, retries
}

func (p *process) cpu() float64 { return cpu(p.cmd.Process.Pid) }

// stormers is the other process.  It runs the commands that it reads, and
// answers each with how long it took and how many logins were retried.  It ends
// with its input.
func stormers() {
	opt.devices = newDevices()
	owner := crowd("s", 0, 1, func(u *user) error { listen(u, nil, nil); return nil })[0]
	check(enter(owner))
	us := crowd("u", 2**pairs, *members, func(u *user) error { listen(u, nil, nil); return nil })
	atOnce := *parallel
	if atOnce == 0 {
		atOnce = len(us)
	}
	retries := 0
	fmt.Println(0.0, 0)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		t0 := time.Now()
		switch in.Text() {
		case "join":
			inParallel(len(us), atOnce, func(i int) { check(enter(us[i])) })
		case "reconnect":
			for _, u := range us {
				u.gone.Store(true)
				u.c.cut()
			}
			for range missed {
				check(owner.Send(stormRoom, true, body(nil)))
			}
			check(owner.c.flush())
			retries = comeBack(us, atOnce)
		case "end":
			settle(&Result{}, append(us, owner), func(ts []tally, i int) int64 {
				if i == len(us) {
					return 0
				}
				return ts[len(us)].sent
			})
			stopping.Store(true)
		}
		fmt.Println(time.Since(t0).Seconds(), retries)
	}
}

func enter(u *user) error {
	c, ok := u.Client.(Latecomer)
	if !ok {
		return fmt.Errorf("storm needs an adapter with Enter")
	}
	return c.Enter(stormRoom)
}

// comeBack gives each user a new connection, and returns how many logins failed
// at first.
func comeBack(us []*user, atOnce int) int {
	var failed atomic.Int64
	var once sync.Once
	end := time.Now().Add(2 * patience)
	inParallel(len(us), atOnce, func(i int) {
		if *spread > 0 {
			time.Sleep(rand.N(*spread))
		}
		for {
			u, err := login(us[i].name)
			if err == nil && !lasting[*proto] {
				if err = u.Join(stormRoom); err != nil {
					u.c.cut()
				}
			}
			if err == nil {
				u.c.h.SetDeadline(time.Time{})
				listen(u, nil, nil)
				us[i] = u
				return
			}
			failed.Add(1)
			once.Do(func() { fmt.Fprintln(os.Stderr, "the first that has to try again:", err) })
			if time.Now().After(end) {
				check(err)
			}
			time.Sleep(time.Second/2 + rand.N(time.Second))
		}
	})
	return int(failed.Load() + opt.devices.busy.Load())
}

// samples are durations with the time at which each began.
type samples struct {
	mu   sync.Mutex
	each [][2]int64
}

func (s *samples) add(began, ns int64) {
	s.mu.Lock()
	s.each = append(s.each, [2]int64{began, ns})
	s.mu.Unlock()
}

func (s *samples) between(from, to int64) *times {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ts times
	for _, e := range s.each {
		if from <= e[0] && e[0] < to {
			ts.ms = append(ts.ms, float64(e[1])/1e6)
		}
	}
	return &ts
}
