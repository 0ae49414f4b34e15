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
// user or room only, so acknowledgements, and the messages of each sender, have
// to come in the order sent with none missing or doubled; anything else ends
// the run.
type qscp struct {
	c     *Conn
	o     options
	user  string
	out   []byte
	token uint32 // names this connection in the ids of its messages
	ms    int64  // time in the last id

	sent, acked, received atomic.Int64
	from                  []*stream // whose messages have come
	last                  *stream   // the one of the newest message
	at                    []atomic.Int64
	answers               chan string // to join and room: the code of an error, or nothing
	searching             atomic.Bool
	searched              chan searchResult
	receipts              qscpReceipts
}

// stream is what one connection of a sender has sent us.
type stream struct {
	token uint32
	n     int64
}

func newQscp(c *Conn, o options) Client {
	x := &qscp{c: c, o: o, token: rand.Uint32(), answers: make(chan string, 1),
		searched: make(chan searchResult, 1)}
	x.receipts.x = x
	if o.onAck != nil {
		x.at = make([]atomic.Int64, 4096)
	}
	return x
}

func (x *qscp) Login(user, pass string) error {
	x.user = user
	auth := map[string]any{"type": "auth", "user": user, "password": pass, "client": "loadgen"}
	if x.o.devices != nil {
		auth["device"] = deviceID(user)
	}
	if x.o.receipts != nil {
		auth["features"] = []string{"read_receipts"}
	}
	line, err := json.Marshal(auth)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if x.o.devices != nil {
		err = x.patientLogin(line)
	} else { // nothing but a good answer is expected, so there is no need to wait for it
		err = x.c.say(string(line) + x.o.devices.resume(user))
		if err == nil {
			_, err = x.verdict()
		}
	}
	for err == nil { // the online users and what was missed come before that
		var l []byte
		if l, err = x.c.line(); err == nil && kind(l) == "resumed" {
			return nil
		}
		if err == nil {
			err = x.handle(l, func([]byte) {})
		}
	}
	return err
}

// verdict waits for the answer to auth; busy is how many seconds the server
// asks to wait before the next attempt.
func (x *qscp) verdict() (busy float64, err error) {
	l, err := x.c.line()
	if err != nil {
		return 0, err
	}
	var f struct {
		Type, Code string
		RetryAfter float64 `json:"retry_after"`
	}
	if err := json.Unmarshal(l, &f); err != nil {
		return 0, err
	}
	switch {
	case f.Type == "auth_ack":
		return 0, nil
	case f.Type == "auth_nack" && f.Code == "busy":
		return max(f.RetryAfter, 0.1), fmt.Errorf("refused: %s", l)
	default:
		return 0, fmt.Errorf("refused: %s", l)
	}
}

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
	if x.at != nil {
		x.at[n%int64(len(x.at))].Store(time.Now().UnixNano())
	}
	return x.c.put(b)
}

var (
	chatStart = []byte(`{"type":"chat",`)
	ackStart  = []byte(`{"type":"chat_ack",`)
	bodyField = []byte(`"body":"`)
	idField   = []byte(`"id":"`)
	toField   = []byte(`"to":"`)
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

// Recv handles what came in.  The two frequent frames are recognised by their
// first bytes, all others by parsing.
func (x *qscp) Recv(fn func([]byte)) error {
	var failed error
	err := x.c.eachLine(func(l []byte) {
		if err := x.handle(l, fn); err != nil && failed == nil {
			failed = err
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

func (x *qscp) handle(l []byte, fn func([]byte)) error {
	switch {
	case bytes.HasPrefix(l, chatStart):
		return x.message(l, fn)
	case bytes.HasPrefix(l, ackStart):
		return x.ack(l)
	default:
		return x.other(l)
	}
}

func (x *qscp) message(l []byte, fn func([]byte)) error {
	n, token, ok := parseID(field(l, idField))
	body := field(l, bodyField)
	if !ok || body == nil {
		return fmt.Errorf("cannot read %.300q", l)
	}
	if x.last == nil || x.last.token != token {
		if err := x.turn(token, l); err != nil {
			return err
		}
	}
	x.received.Add(1)
	x.last.n++
	if n != x.last.n {
		return fmt.Errorf("message %d of %08x came where %d was due", n, token, x.last.n)
	}
	fn(body)
	if x.o.receipts.active() {
		return x.receipts.note(l)
	}
	return nil
}

// turn looks up the stream of a sender who is not the last one.  Outside of
// rooms only one writes to us.
func (x *qscp) turn(token uint32, l []byte) error {
	if token == x.token {
		return fmt.Errorf("our own message came: %.300q", l)
	}
	for _, s := range x.from {
		if s.token == token {
			x.last = s
			return nil
		}
	}
	if len(x.from) > 0 && !bytes.HasPrefix(field(l, toField), []byte("#")) {
		return fmt.Errorf("a message of somebody else came: %.300q", l)
	}
	x.last = &stream{token: token}
	x.from = append(x.from, x.last)
	return nil
}

func (x *qscp) ack(l []byte) error {
	n, token, ok := parseID(field(l, idField))
	if want := x.acked.Add(1); !ok || n != want || token != x.token {
		return fmt.Errorf("message %d was to be acknowledged, not %.300q", want, l)
	}
	if x.at != nil {
		x.o.onAck(time.Now().UnixNano() - x.at[n%int64(len(x.at))].Load())
	}
	return nil
}

func (x *qscp) other(l []byte) error {
	switch kind(l) {
	case "presence", "online_users", "pong", "members", "invited", "typing":
		return nil
	case "room":
		return x.o.devices.note(x.user, l)
	case "ping":
		return x.c.say("{\"type\":\"pong\"}\n")
	case "room_ack":
		return x.answer(l, "")
	case "search":
		return x.result(l)
	case "delivered", "read":
		if x.o.receipts != nil {
			return x.receipts.hear(l)
		}
	case "error":
		var f struct{ Code, Ref string }
		if err := json.Unmarshal(l, &f); err == nil && (f.Ref == "join" || f.Ref == "room") {
			return x.answer(l, f.Code)
		} else if err == nil && f.Ref == "search" {
			return x.result(l)
		}
	}
	return fmt.Errorf("unexpected %.300q", l)
}

// Tally makes qscp an Acker.
func (x *qscp) Tally() (sent, acked, received int64) {
	return x.sent.Load(), x.acked.Load(), x.received.Load()
}

func (x *qscp) Bye() { x.c.say("{\"type\":\"bye\"}\n") }
