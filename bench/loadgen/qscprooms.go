package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long the answer to a request can take.
const patience = 2 * time.Minute

// Join enters the room, and creates it if it does not exist.
func (x *qscp) Join(room string) error {
	return x.enter(room, func() (string, error) {
		for {
			select {
			case code := <-x.answers:
				return code, nil
			default:
				if err := x.Recv(func([]byte) {}); err != nil {
					return "", err
				}
			}
		}
	})
}

// Enter makes qscp a Latecomer.
func (x *qscp) Enter(room string) error {
	return x.enter(room, func() (string, error) {
		select {
		case code := <-x.answers:
			return code, nil
		case <-time.After(patience):
			return "", fmt.Errorf("no answer")
		}
	})
}

// enter joins, or makes the room; several may do so at the same time, and one
// of them makes it.  wait waits for an answer.
func (x *qscp) enter(room string, wait func() (string, error)) error {
	join := `{"type":"join","room":"` + room + "\"}\n"
	create := `{"type":"room","action":"create","room":"` + room + "\",\"history\":\"joining\"}\n"
	ask := join
	for {
		if err := x.c.say(ask); err != nil {
			return err
		}
		code, err := wait()
		switch {
		case err != nil:
			return fmt.Errorf("joining %s: %v", room, err)
		case code == "":
			return nil
		case code == "unknown_room" && ask == join:
			ask = create
		case code == "room_exists" && ask == create:
			ask = join
		default:
			return fmt.Errorf("joining %s: %s", room, code)
		}
	}
}

// answer hands an answer to the caller that waits in enter.  If none waits, it
// is one frame too many.
func (x *qscp) answer(l []byte, code string) error {
	select {
	case x.answers <- code:
		return nil
	default:
		return fmt.Errorf("unexpected %.300q", l)
	}
}

// devices is what the devices of all users keep over their connections: their
// positions in the room.
type devices struct {
	mu   sync.Mutex
	at   map[string]position
	busy atomic.Int64 // logins that the server answered with busy
}

type position struct {
	Conversation string `json:"conversation"`
	Seq          int64  `json:"seq"`
}

func newDevices() *devices { return &devices{at: map[string]position{}} }

func deviceID(user string) string {
	sum := sha256.Sum256([]byte(user))
	return fmt.Sprintf("%x", sum[:16])
}

// note keeps the position that a `room` frame gives a user who joins.
func (d *devices) note(user string, l []byte) error {
	if d == nil {
		return nil
	}
	var f struct {
		Room    struct{ Conversation string }
		LastSeq int64 `json:"last_seq"`
	}
	if err := json.Unmarshal(l, &f); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.at[user]; !known {
		d.at[user] = position{f.Room.Conversation, f.LastSeq}
	}
	return nil
}

// resume returns the frame that reports the positions of a user.
func (d *devices) resume(user string) string {
	positions := []byte("[]")
	if d != nil {
		d.mu.Lock()
		if at, known := d.at[user]; known {
			positions, _ = json.Marshal([]position{at})
		}
		d.mu.Unlock()
	}
	return `{"type":"resume","positions":` + string(positions) + "}\n"
}

// patientLogin sends auth until the server is not busy, then resume.
func (x *qscp) patientLogin(auth []byte) error {
	for {
		if err := x.c.say(string(auth)); err != nil {
			return err
		}
		busy, err := x.verdict()
		if err == nil {
			return x.c.say(x.o.devices.resume(x.user))
		}
		if busy == 0 {
			return err
		}
		x.o.devices.busy.Add(1)
		time.Sleep(time.Duration(busy * (0.75 + rand.Float64()/2) * float64(time.Second)))
	}
}
