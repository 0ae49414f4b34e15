package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// qscp speaks QSCP/1: one JSON object per line.  Each message is acknowledged
// when the server has it on disk.  A user of a workload writes to one other
// user only, so acknowledgements and messages have to come in the order sent
// with none missing or doubled; anything else ends the run.
type qscp struct {
	c     *Conn
	o     options
	out   []byte
	token uint32 // names this connection in the ids of its messages
	ms    int64  // time in the last id

	sent, acked, received atomic.Int64
	from                  uint32 // token of who writes to us
	at                    [4096]atomic.Int64
}

func newQscp(c *Conn, o options) Client {
	return &qscp{c: c, o: o, token: rand.Uint32()}
}

func (x *qscp) Login(user, pass string) error {
	auth, err := json.Marshal(map[string]string{"type": "auth", "user": user, "password": pass, "client": "loadgen"})
	if err != nil {
		return err
	}
	resume := `{"type":"resume","positions":[]}`
	if err := x.c.say(string(auth) + "\n" + resume + "\n"); err != nil {
		return err
	}
	l, err := x.c.line()
	if err == nil && kind(l) != "auth_ack" {
		err = fmt.Errorf("refused: %s", l)
	}
	for err == nil && kind(l) != "resumed" { // behind the online users and what was missed
		l, err = x.c.line()
	}
	return err
}

func (x *qscp) Join(string) error { return fmt.Errorf("this version of QSCP has no rooms") }

const hexDigits = "0123456789abcdef"

func appendHex(b []byte, v uint64, digits int) []byte {
	for s := 4 * (digits - 1); s >= 0; s -= 4 {
		b = append(b, hexDigits[v>>s&15])
	}
	return b
}

func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// appendID writes an id with the layout of a UUID of version 7: the time, then
// the number of the message on its connection, then the connection's token.
func (x *qscp) appendID(b []byte, n uint64) []byte {
	x.ms = max(x.ms, time.Now().UnixMilli())
	b = appendHex(b, uint64(x.ms), 12)
	b = append(b, '7')
	b = appendHex(b, n>>28&0xfff, 3)
	b = append(b, '8')
	b = appendHex(b, n&0xfffffff, 7)
	return appendHex(b, uint64(x.token), 8)
}

// parseID finds the number and the token in an id of ours.
func parseID(id []byte) (n int64, token uint32, ok bool) {
	if len(id) != 32 || id[12] != '7' || id[16] != '8' {
		return 0, 0, false
	}
	hi, ok1 := parseHex(id[13:16])
	lo, ok2 := parseHex(id[17:24])
	t, ok3 := parseHex(id[24:32])
	return int64(hi<<28 | lo), uint32(t), ok1 && ok2 && ok3
}

func (x *qscp) Send(to string, _ bool, body []byte) error {
	n := x.sent.Add(1)
	b := append(x.out[:0], `{"type":"chat","to":"`...)
	b = append(b, to...)
	b = append(b, `","body":"`...)
	b = append(b, body...)
	b = append(b, `","id":"`...)
	b = x.appendID(b, uint64(n))
	b = append(b, "\"}\n"...)
	x.out = b
	if x.o.onAck != nil {
		x.at[n%int64(len(x.at))].Store(time.Now().UnixNano())
	}
	return x.c.put(b)
}

var (
	chatStart = []byte(`{"type":"chat",`)
	ackStart  = []byte(`{"type":"chat_ack",`)
	bodyField = []byte(`"body":"`)
	idField   = []byte(`"id":"`)
)

// field is the text value that follows the mark; it has no escapes in it here.
func field(l, mark []byte) []byte {
	k := bytes.Index(l, mark)
	if k < 0 {
		return nil
	}
	l = l[k+len(mark):]
	if j := bytes.IndexByte(l, '"'); j >= 0 {
		return l[:j]
	}
	return nil
}

func kind(l []byte) string {
	var f struct{ Type string }
	if err := json.Unmarshal(l, &f); err != nil {
		return "no frame: " + err.Error()
	}
	return f.Type
}

// Recv handles what came in.  The two frequent frames are told by how they
// begin, all others by parsing.
func (x *qscp) Recv(fn func([]byte)) error {
	var failed error
	err := x.c.eachLine(func(l []byte) {
		var err error
		switch {
		case bytes.HasPrefix(l, chatStart):
			err = x.message(l, fn)
		case bytes.HasPrefix(l, ackStart):
			err = x.ack(l)
		default:
			err = x.other(l)
		}
		if err != nil && failed == nil {
			failed = err
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

func (x *qscp) message(l []byte, fn func([]byte)) error {
	n, token, ok := parseID(field(l, idField))
	body := field(l, bodyField)
	if !ok || body == nil {
		return fmt.Errorf("cannot read %.300q", l)
	}
	if x.received.Load() == 0 {
		x.from = token
	}
	if want := x.received.Add(1); n != want || token != x.from {
		return fmt.Errorf("message %d of %08x came where %d of %08x was due", n, token, want, x.from)
	}
	fn(body)
	return nil
}

func (x *qscp) ack(l []byte) error {
	n, token, ok := parseID(field(l, idField))
	if want := x.acked.Add(1); !ok || n != want || token != x.token {
		return fmt.Errorf("message %d was to be acknowledged, not %.300q", want, l)
	}
	if x.o.onAck != nil {
		x.o.onAck(time.Now().UnixNano() - x.at[n%int64(len(x.at))].Load())
	}
	return nil
}

func (x *qscp) other(l []byte) error {
	switch k := kind(l); k {
	case "presence", "online_users", "pong":
		return nil
	case "ping":
		return x.c.say("{\"type\":\"pong\"}\n")
	default:
		return fmt.Errorf("unexpected %.300q", l)
	}
}

// Tally makes qscp an Acker.
func (x *qscp) Tally() (sent, acked, received int64) {
	return x.sent.Load(), x.acked.Load(), x.received.Load()
}

func (x *qscp) Bye() { x.c.say("{\"type\":\"bye\"}\n") }
