package main

import (
	"encoding/json"
	"fmt"
	"time"
)

// searchResult is the answer to a search.
type searchResult struct {
	Type, Code string
	Matches    []struct{ Body string }
	Complete   *bool
}

func (r searchResult) found() (found, complete bool) {
	return len(r.Matches) > 0, r.Complete == nil || *r.Complete
}

// Search makes qscp a Searcher.
func (x *qscp) Search(word string) (found, complete bool, err error) {
	x.searching.Store(true)
	if err := x.c.say(`{"type":"search","query":"` + word + "\"}\n"); err != nil {
		return false, false, err
	}
	select {
	case r := <-x.searched:
		if r.Type == "error" {
			return false, false, fmt.Errorf("search: %s", r.Code)
		}
		found, complete = r.found()
		return found, complete, nil
	case <-time.After(patience):
		return false, false, fmt.Errorf("no answer to search")
	}
}

// result hands the answer to a search to the caller that waits.
func (x *qscp) result(l []byte) error {
	if !x.searching.Swap(false) {
		return fmt.Errorf("unexpected %.300q", l)
	}
	var r searchResult
	if err := json.Unmarshal(l, &r); err != nil {
		return err
	}
	x.searched <- r
	return nil
}
