package main

// Client is one authenticated user of the server under test.  To measure a new
// protocol, write these methods over a *Conn and add a line to adapters.
type Client interface {
	// Login authenticates and returns when the server has confirmed it.
	Login(user, pass string) error
	// Join enters a room and returns when the server has confirmed it.
	Join(room string) error
	// Send queues one message (one TLS record); Conn.flush sends the queue.
	// body is printable ASCII without quotes, markup or backslashes.
	Send(to string, toRoom bool, body []byte) error
	// Recv blocks until something has come in and calls fn with the body of
	// each chat message in it.  It answers keep-alives automatically.
	Recv(fn func(body []byte)) error
	// Bye ends the session politely; the caller then closes the socket.
	Bye()
}

// Registrar is implemented where accounts have to be made over the wire.
type Registrar interface {
	Register(user, pass string) error
}

// Acker is implemented where the server acknowledges each message.
type Acker interface {
	// Tally counts the messages this user sent, had acknowledged and received.
	Tally() (sent, acked, received int64)
}

// Searcher is implemented where the server can be asked for a stored message.
type Searcher interface {
	// Search looks for the messages with a word, while Recv runs in another
	// goroutine.  complete is whether the server has looked at all messages.
	Search(word string) (found, complete bool, err error)
}

// Reader is implemented where a user reports what was received and read.
type Reader interface {
	// Reports counts the reports this user sent, and those of others that came.
	Reports() (sent, heard int64)
	// Settled is whether all messages of this user were reported.
	Settled() bool
}

// Latecomer is implemented where a room can be entered while Recv runs in
// another goroutine.
type Latecomer interface {
	Enter(room string) error
}

type options struct {
	host     string         // XMPP domain
	qos      int            // MQTT quality of service, 0 or 1
	sasl     bool           // IRC: log in to an account with SASL PLAIN
	onAck    func(ns int64) // Acker: called with the time that each acknowledgement took; can be nil
	receipts *reporting     // report what was received and read; nil: never
	devices  *devices       // qscp: log in as devices that keep their positions; nil: as ones that keep nothing
}

var adapters = map[string]func(*Conn, options) Client{
	"irc":    func(c *Conn, o options) Client { return &irc{c: c, o: o, entered: make(chan struct{}, 1)} },
	"xmpp":   func(c *Conn, o options) Client { return &xmpp{c: c, o: o} },
	"mqtt":   func(c *Conn, o options) Client { return &mqtt{c: c, o: o} },
	"ndjson": func(c *Conn, o options) Client { return &ndjson{c: c} },
	"qscp":   newQscp,
}

// alpn is what a protocol offers in the handshake, if it uses ALPN.
var alpn = map[string]string{"qscp": "qscp/1"}

// reflects has the protocols in which a room's message also goes to its sender.
var reflects = map[string]bool{"xmpp": true, "mqtt": true}

// lasting has the protocols in which membership of a room outlasts a login.
var lasting = map[string]bool{"qscp": true}
