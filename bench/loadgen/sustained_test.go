package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Texts are 64 bytes, need no escaping, and share most of their words.
func TestTexts(t *testing.T) {
	count := map[string]int{}
	n := 0
	for _, text := range texts() {
		if len(text) != bodyLength || strings.ContainsAny(text, "\"\\<>&'") {
			t.Errorf("%q", text)
		}
		for _, w := range strings.Fields(strings.TrimRight(text, ".")) {
			count[w]++
			n++
		}
	}
	if mean := n / len(texts()); mean < 6 || mean > 20 {
		t.Errorf("%d words each", mean)
	}
	if len(count) < 1000 || len(count) > n/4 {
		t.Errorf("%d different words of %d", len(count), n)
	}
}

// The last message has a word that no text has.
func TestMarkIsRare(t *testing.T) {
	mark := word(rand.New(rand.NewPCG(3, 0)), markRank)
	for _, text := range texts() {
		if strings.Contains(text, mark) {
			t.Errorf("%q has %q", text, mark)
		}
	}
	if len("the last message has the word ")+len(mark) > bodyLength {
		t.Errorf("%q is too long", mark)
	}
}

// An answer to a search goes to the caller that waits, and says what was found.
func TestSearchAnswers(t *testing.T) {
	for line, want := range map[string][2]bool{
		`{"type":"search","matches":[{"body":"a"}]}`:                  {true, true},
		`{"type":"search","matches":[{"body":"a"}],"complete":false}`: {true, false},
		`{"type":"search","matches":[],"complete":false}`:             {false, false},
	} {
		x, _ := pair()
		if x.other([]byte(line)) == nil {
			t.Error("took an answer that nobody asked for")
		}
		x.searching.Store(true)
		if err := x.other([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if found, complete := (<-x.searched).found(); found != want[0] || complete != want[1] {
			t.Error(line, found, complete)
		}
	}
}

// What files occupy is counted in all folders below; a file that is gone counts nothing.
func TestGrowth(t *testing.T) {
	folder := t.TempDir()
	inner := filepath.Join(folder, "inner")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(path string, size int) {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sizes := func() map[string]int64 {
		sizes, err := occupied(folder)
		if err != nil {
			t.Fatal(err)
		}
		return sizes
	}
	log := filepath.Join(folder, "log")
	write(log, 1_000_000)
	write(filepath.Join(folder, "a"), 100_000)
	before := sizes()
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(folder, "a"), 300_000)
	write(filepath.Join(inner, "b"), 100_000)
	if n := growth(before, sizes()); n < 290_000 || n > 350_000 {
		t.Error(n)
	}
}

// The process clock counts what this process computes.
func TestProcessClock(t *testing.T) {
	before := processClock(os.Getpid())
	calibrate()
	if after := processClock(os.Getpid()); before <= 0 || after <= before {
		t.Error(before, after)
	}
	if processClock(1<<22) != 0 {
		t.Error("a process that does not exist has a clock")
	}
	if !running(os.Getpid()) || running(1<<22) {
		t.Error("running")
	}
}
