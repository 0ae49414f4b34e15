package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// held is a net.Conn whose writes stay in memory until release is called.
// crypto/tls hands it one finished record per Write, so several chat messages
// go out as several TLS records in one send(2): the server sees what it would
// see from a user whose messages queued up in its socket buffer, while the
// generator pays for one system call only.  Reads go through a large buffer
// for the same reason.
type held struct {
	net.Conn
	out  []byte
	hold bool
	in   []byte
	r, w int
}

func (h *held) Write(p []byte) (int, error) {
	if !h.hold {
		return h.Conn.Write(p)
	}
	h.out = append(h.out, p...)
	return len(p), nil
}

func (h *held) Read(p []byte) (int, error) {
	if h.r == h.w {
		n, err := h.Conn.Read(h.in)
		if n <= 0 {
			return n, err
		}
		h.r, h.w = 0, n
	}
	n := copy(p, h.in[h.r:h.w])
	h.r += n
	return n, nil
}

func (h *held) release() error {
	if len(h.out) == 0 {
		return nil
	}
	_, err := h.Conn.Write(h.out)
	h.out = h.out[:0]
	return err
}

// Conn is what a protocol adapter works with.
type Conn struct {
	t   *tls.Conn
	h   *held
	mu  sync.Mutex // guards the sending side
	buf []byte     // received and not yet consumed

	bytesIn, linesIn atomic.Int64
}

func dial(addr, alpn string) (*Conn, error) {
	var offer []string
	if alpn != "" {
		offer = []string{alpn}
	}
	d := net.Dialer{Timeout: 20 * time.Second}
	raw, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	h := &held{Conn: raw, in: make([]byte, 16<<10)}
	t := tls.Client(h, &tls.Config{
		InsecureSkipVerify: true, // throwaway self-signed certificate on loopback
		MinVersion:         tls.VersionTLS12,
		NextProtos:         offer,
		// One group for all servers, so that a login costs the same curve work
		// on every server (a Go server would otherwise pick ML-KEM hybrids).
		CurvePreferences: []tls.CurveID{tls.X25519},
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	})
	raw.SetDeadline(time.Now().Add(2 * time.Minute)) // for logging in; lifted afterwards
	if err := t.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	if got := t.ConnectionState().NegotiatedProtocol; got != alpn {
		raw.Close()
		return nil, fmt.Errorf("ALPN %q was negotiated, not %q", got, alpn)
	}
	h.hold = true
	return &Conn{t: t, h: h}, nil
}

func (c *Conn) tlsName() string {
	s := c.t.ConnectionState()
	return tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
}

// put queues p as one TLS record; flush sends everything queued.
func (c *Conn) put(p []byte) error {
	c.mu.Lock()
	_, err := c.t.Write(p)
	c.mu.Unlock()
	return err
}

func (c *Conn) flush() error {
	c.mu.Lock()
	err := c.h.release()
	c.mu.Unlock()
	return err
}

func (c *Conn) say(s string) error {
	if err := c.put([]byte(s)); err != nil {
		return err
	}
	return c.flush()
}

// fill blocks for more input and appends it to buf.
func (c *Conn) fill() error {
	if cap(c.buf)-len(c.buf) < 2048 {
		nb := make([]byte, len(c.buf), 2*cap(c.buf)+4096)
		copy(nb, c.buf)
		c.buf = nb
	}
	n, err := c.t.Read(c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	if n > 0 {
		c.bytesIn.Add(int64(n))
		return nil
	}
	return err
}

// cut ends the connection as a failing network does: no goodbye, and what was
// on the way is lost.
func (c *Conn) cut() {
	if tcp, ok := c.h.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.h.Close()
}

func (c *Conn) consume(n int) {
	m := copy(c.buf, c.buf[n:])
	c.buf = c.buf[:m]
	if m == 0 && cap(c.buf) > 32<<10 { // one long line long ago: thousands of idle users would keep it
		c.buf = nil
	}
}

// until waits for one of the marks, drops the input up to the mark's end and
// returns which one it was and the text before it.
func (c *Conn) until(marks ...string) (int, string, error) {
	for {
		best, at := -1, len(c.buf)+1
		for i, m := range marks {
			if k := bytes.Index(c.buf, []byte(m)); k >= 0 && k < at {
				best, at = i, k
			}
		}
		if best >= 0 {
			head := string(c.buf[:at])
			c.consume(at + len(marks[best]))
			return best, head, nil
		}
		if err := c.fill(); err != nil {
			return -1, "", fmt.Errorf("waiting for %q: %v; have %.300q", marks, err, c.buf)
		}
	}
}

// line returns the next complete line without its ending.
func (c *Conn) line() ([]byte, error) {
	for {
		if k := bytes.IndexByte(c.buf, '\n'); k >= 0 {
			l := append([]byte(nil), bytes.TrimRight(c.buf[:k], "\r")...)
			c.consume(k + 1)
			return l, nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// eachLine hands every complete buffered line to fn, then waits for more if
// there was none.
func (c *Conn) eachLine(fn func(l []byte)) error {
	for {
		at, lines := 0, int64(0)
		for {
			k := bytes.IndexByte(c.buf[at:], '\n')
			if k < 0 {
				break
			}
			fn(c.buf[at : at+k])
			at += k + 1
			lines++
		}
		if at > 0 {
			c.linesIn.Add(lines)
			c.consume(at)
			return nil
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}
