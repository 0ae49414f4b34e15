package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

const (
	pad        = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+"
	bodyLength = 64
)

// body is 64 bytes.  They are the sending time and filler, which is one word
// that no other message has; or common words, as people write them.
func body(b []byte) []byte {
	if *words {
		t := texts()
		return append(b[:0], t[rand.IntN(len(t))]...)
	}
	b = fmt.Appendf(b[:0], "%016x", time.Now().UnixNano())
	return append(b, pad[:bodyLength-16]...)
}

// texts are 64 bytes each of words from a vocabulary of 20,000.  A word's
// frequency falls with its rank (Zipf's law), so most messages have words that
// many others have, and now and then a rare one.
var texts = sync.OnceValue(func() []string {
	dice := rand.New(rand.NewPCG(1, 1)) // the same texts in each run
	vocabulary := make([]string, 20_000)
	for i := range vocabulary {
		vocabulary[i] = word(dice, i)
	}
	rank := rand.NewZipf(dice, 1.1, 4, uint64(len(vocabulary)-1))
	made := make([]string, 10_000)
	for i := range made {
		var t strings.Builder
		for t.Len() < bodyLength {
			t.WriteString(vocabulary[rank.Uint64()])
			t.WriteByte(' ')
		}
		made[i] = strings.TrimRight(t.String()[:bodyLength-1], " ")
		made[i] += strings.Repeat(".", bodyLength-len(made[i]))
	}
	return made
})

// word is pronounceable, and shorter for the more frequent ones.
func word(dice *rand.Rand, rank int) string {
	var w strings.Builder
	for n := 1 + dice.IntN(2); rank > 0 || n > 0; n, rank = n-1, rank/8 {
		w.WriteByte("bcdfghjklmnprstvwz"[dice.IntN(18)])
		w.WriteByte("aeiou"[dice.IntN(5)])
	}
	return w.String()
}
