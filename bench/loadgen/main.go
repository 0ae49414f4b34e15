// loadgen drives a TLS chat server on loopback and reports how much work the
// server does per second of its own CPU time.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

var (
	proto    = flag.String("proto", "irc", "irc, xmpp, mqtt, qscp or ndjson")
	addr     = flag.String("addr", "127.0.0.1:6697", "server address (TLS from the first byte)")
	pid      = flag.Int("pid", 0, "server process id")
	peer     = flag.String("peer", "", "name for the report")
	host     = flag.String("host", "localhost", "XMPP domain")
	qos      = flag.Int("qos", 0, "MQTT quality of service")
	sasl     = flag.Bool("sasl", false, "IRC: log in with SASL PLAIN")
	pass     = flag.String("pass", "secretpw", "password of every account")
	pairs    = flag.Int("pairs", 50, "dm, latency, storm, receipts: pairs of users")
	window   = flag.Int("window", 0, "messages in flight per pair or per room sender (0: 32 for dm, 8 for fanout, 1 for rooms)")
	members  = flag.Int("members", 100, "fanout, rooms, storm, online: people in a room")
	senders  = flag.Int("senders", 1, "fanout: senders")
	rooms    = flag.Int("rooms", 20, "rooms: rooms, each with its own members")
	rate     = flag.Int("rate", 1000, "latency, storm, receipts: messages per second in total")
	count    = flag.Int("n", 2000, "idle: connections; prep: accounts")
	workers  = flag.Int("workers", 8, "parallel logins, except those of a storm")
	parallel = flag.Int("parallel", 0, "storm: joins and reconnects at a time (0: all of them)")
	spread   = flag.Duration("spread", 0, "storm: members begin to reconnect within this time")
	warm     = flag.Duration("warm", 1500*time.Millisecond, "warm-up before the measured window")
	duration = flag.Duration("time", 5*time.Second, "measured window")

	sustained = flag.Bool("sustained", false, "dm, fanout, rooms: count all CPU time until the server has caught up")
	still     = flag.Duration("still", 5*time.Second, "sustained: it has caught up when it is as idle as before for so long")
	disk      = flag.String("disk", "", "sustained: folder of the server's store; the server is stopped before its size is taken")
	words     = flag.Bool("words", false, "texts of common words instead of one unique word; always with -sustained")
	receipts  = flag.Bool("receipts", false, "report what was received and read; always in the workload receipts")
	pause     = flag.Duration("receipt-pause", clientPause, "receipts: a report waits so long; by default as in the client, as the next two")
	received  = flag.Duration("received-interval", clientReceived, "receipts: received at most once per conversation in this time")
	read      = flag.Duration("read-interval", clientRead, "receipts: read at most once per conversation in this time")

	opt     options
	tlsSeen atomic.Value
)

// Result is one line of the results file.
type Result struct {
	Peer, Workload, TLS    string
	Done                   int64   // deliveries, logins or connections
	Wall, ServerCPU        float64 // seconds
	PerSec, PerCPUSec      float64
	ServerUtil, OwnUtil    float64    // share of one core
	RSS, PSS               float64    // KiB at the end
	P50, P99, Max          float64    `json:",omitempty"` // milliseconds from sending to arrival
	Sent, Acked            int64      `json:",omitempty"` // whole run, where the server acknowledges
	AckP50, AckP99, AckMax float64    `json:",omitempty"` // milliseconds from sending to acknowledgement
	KiBPerConn, PSSPerConn float64    `json:",omitempty"`
	Took                   float64    `json:",omitempty"` // storm: seconds until all had joined, or were back
	Retries                int        `json:",omitempty"` // storm: logins that were put off, or failed and were tried again
	Online                 *Online    `json:",omitempty"`
	Sustained              *Sustained `json:",omitempty"`
	Receipts               *Receipts  `json:",omitempty"`
	Calib                  float64
	Noise                  float64 // cores that other programs used meanwhile
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, *peer, flag.Arg(0), "failed:", err)
		os.Exit(1)
	}
}

type user struct {
	Client
	c    *Conn
	name string
	gone atomic.Bool // the connection is ended from here
}

func connect() (*user, error) {
	c, err := dial(*addr, alpn[*proto])
	if err != nil {
		return nil, err
	}
	tlsSeen.Store(c.tlsName())
	return &user{Client: adapters[*proto](c, opt), c: c}, nil
}

func login(name string) (*user, error) {
	u, err := connect()
	if err != nil {
		return nil, err
	}
	u.name = name
	if err := u.Login(name, *pass); err != nil {
		u.c.h.Close()
		return nil, fmt.Errorf("login %s: %v", name, err)
	}
	return u, nil
}

// inParallel runs do(0) to do(n-1), so many at a time.
func inParallel(n, atOnce int, do func(i int)) {
	var at atomic.Int64
	var wg sync.WaitGroup
	for w := 0; w < min(atOnce, n); w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int(at.Add(1)) - 1; i < n; i = int(at.Add(1)) - 1 {
				do(i)
			}
		}()
	}
	wg.Wait()
}

// crowd logs n users in, in parallel, and lets each do then.  They are named
// by the prefix and a number, from first on.
func crowd(prefix string, first, n int, then func(*user) error) []*user {
	us := make([]*user, n)
	inParallel(n, *workers, func(i int) {
		u, err := login(fmt.Sprintf("%s%d", prefix, first+i))
		check(err)
		if then != nil {
			check(then(u))
		}
		u.c.h.SetDeadline(time.Time{})
		us[i] = u
	})
	return us
}

var (
	stopping atomic.Bool
	draining atomic.Bool // nothing new is sent
)

// listen runs u.Recv until the connection ends.  done is called once for each
// batch with the number of messages in it.
func listen(u *user, each func(body []byte), done func(k int)) {
	go func() {
		k := 0
		fn := func(b []byte) {
			k++
			if each != nil {
				each(b)
			}
		}
		for {
			k = 0
			if err := u.Recv(fn); err != nil {
				if !stopping.Load() && !u.gone.Load() {
					check(fmt.Errorf("%s lost: %v", u.name, err))
				}
				return
			}
			if k > 0 && done != nil {
				done(k)
			}
		}
	}()
}

// measure lets things settle, then counts over the window.  While other
// programs take more than a tenth of a core it tries again, up to three times,
// and keeps the quietest window.
func measure(r *Result, n *atomic.Int64) {
	time.Sleep(*warm)
	for try := 0; try < 4; try++ {
		c0, o0, b0, n0, t0 := cpu(*pid), ownCPU(), busy(), n.Load(), time.Now()
		time.Sleep(*duration)
		c, o, b, k, w := cpu(*pid)-c0, ownCPU()-o0, busy()-b0, n.Load()-n0, time.Since(t0).Seconds()
		noise := (b - c - o) / w
		if try == 0 || noise < r.Noise {
			fill(r, k, w, c, o)
			r.Noise = noise
		}
		if noise < 0.1 {
			break
		}
	}
}

func fill(r *Result, n int64, wall, srv, own float64) {
	r.Done, r.Wall, r.ServerCPU = n, wall, srv
	r.PerSec, r.ServerUtil, r.OwnUtil = float64(n)/wall, srv/wall, own/wall
	if srv > 0 {
		r.PerCPUSec = float64(n) / srv
	}
	r.RSS, r.PSS = memory(*pid)
	if n == 0 {
		check(fmt.Errorf("nothing was delivered"))
	}
}

// latency: a low fixed rate spread evenly over the pairs and over time.
func latency(r *Result) {
	var on atomic.Bool
	var arrived, acked times
	opt.onAck = func(ns int64) {
		if on.Load() {
			acked.add(ns)
		}
	}
	us := crowd("u", 0, 2**pairs, nil)
	var n atomic.Int64
	for i := range us {
		each := func(b []byte) {
			now := time.Now().UnixNano()
			if t, ok := parseHex(b[:16]); ok && on.Load() {
				arrived.add(now - int64(t))
			}
		}
		listen(us[i], each, func(k int) { n.Add(int64(k)) })
	}
	over := steady(us)
	time.Sleep(*warm)
	on.Store(true)
	w := *warm
	*warm = 0
	measure(r, &n)
	*warm = w
	on.Store(false)
	draining.Store(true)
	<-over
	settle(r, us, fromPartner)
	r.P50, r.P99, r.Max = arrived.quantiles()
	r.AckP50, r.AckP99, r.AckMax = acked.quantiles()
}

// steady sends at the rate, spread evenly over the pairs and over time, until
// draining; the channel is closed when it has ended.
func steady(us []*user) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		step := time.Second / time.Duration(*rate)
		buf := make([]byte, 0, 64)
		for i, at := 0, time.Now(); !draining.Load(); i++ {
			at = at.Add(step)
			time.Sleep(time.Until(at))
			from, to := us[2*(i%*pairs)], us[2*(i%*pairs)+1]
			check(from.Send(to.name, false, body(buf)))
			check(from.c.flush())
		}
	}()
	return over
}

// idle: memory that n authenticated, silent connections cost.
func idle(r *Result) {
	rss0, pss0 := memory(*pid)
	c0, o0, t0 := cpu(*pid), ownCPU(), time.Now()
	us := crowd("u", 0, *count, func(u *user) error { listen(u, nil, nil); return nil })
	c1, o1, wall := cpu(*pid), ownCPU(), time.Since(t0).Seconds()
	time.Sleep(*warm + *duration)
	fill(r, int64(len(us)), wall, c1-c0, o1-o0)
	r.KiBPerConn = (r.RSS - rss0) / float64(*count)
	r.PSSPerConn = (r.PSS - pss0) / float64(*count)
}

// logins: connect, full handshake, authenticate, leave; as fast as it goes.
func logins(r *Result) {
	var n atomic.Int64
	own := max(*count / *workers, 1) // users that only this worker logs in
	for w := 0; w < *workers; w++ {
		go func() {
			for i := 0; !stopping.Load(); i++ {
				u, err := login(fmt.Sprintf("u%d", w*own+i%own))
				if err != nil {
					if !stopping.Load() {
						check(err)
					}
					return
				}
				u.Bye()
				u.c.t.Close()
				n.Add(1)
			}
		}()
	}
	measure(r, &n)
}

// prep makes the accounts u0.. and s0.. over the wire.
func prep(r *Result) {
	c0, o0, t0 := cpu(*pid), ownCPU(), time.Now()
	inParallel(*count+4, *workers, func(i int) {
		name := fmt.Sprintf("u%d", i)
		if i >= *count {
			name = fmt.Sprintf("s%d", i-*count)
		}
		u, err := connect()
		check(err)
		check(u.Client.(Registrar).Register(name, *pass))
		u.Bye()
		u.c.h.Close()
	})
	fill(r, int64(*count+4), time.Since(t0).Seconds(), cpu(*pid)-c0, ownCPU()-o0)
}

// report prints a line of the results file.
func report(r *Result) {
	if s := os.Getenv("LOADGEN_TAG"); s != "" {
		r.Workload += s
	}
	if r.Sustained != nil {
		r.Workload = "sustained-" + r.Workload
	}
	r.TLS, _ = tlsSeen.Load().(string)
	b, err := json.Marshal(r)
	check(err)
	fmt.Println(string(b))
}

func main() {
	flag.Parse()
	what := flag.Arg(0)
	if what == "summary" {
		summary(flag.Args()[1:])
		return
	}
	opt = options{host: *host, qos: *qos, sasl: *sasl}
	if *receipts || what == "receipts" {
		opt.receipts = newReporting(*pause, *received, *read)
	}
	if adapters[*proto] == nil || *pid == 0 {
		check(fmt.Errorf("need a known -proto and the server's -pid"))
	}
	r := &Result{Peer: *peer, Workload: what}
	if *window == 0 {
		*window = map[string]int{"dm": 32, "fanout": 8, "rooms": 1}[what]
	}
	if _, known := copies[what]; *sustained && !known {
		check(fmt.Errorf("-sustained is for dm, fanout and rooms"))
	}
	r.Calib = math.Round(calibrate())
	switch what {
	case "dm":
		dm().run(r)
	case "fanout":
		r.Workload = fmt.Sprintf("fanout%d", *members)
		fanout().run(r)
	case "rooms":
		r.Workload = fmt.Sprintf("rooms%dx%d", *rooms, *members)
		everybodyWrites().run(r)
	case "receipts":
		readers(r)
	case "latency":
		latency(r)
	case "idle":
		r.Workload = fmt.Sprintf("idle%d", *count)
		idle(r)
	case "login":
		logins(r)
	case "prep":
		prep(r)
	case "online":
		r.Workload = fmt.Sprintf("online%d", *members)
		online(r)
	case "storm":
		for _, phase := range storm(*r) {
			report(phase)
		}
		return
	case "stormers":
		stormers()
		return
	default:
		check(fmt.Errorf("workloads: dm fanout rooms receipts latency idle login prep online storm; or summary FILE..."))
	}
	stopping.Store(true)
	report(r)
}
