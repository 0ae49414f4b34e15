package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
)

// summary prints the medians of result files as a table.
func summary(files []string) {
	rows := map[[2]string][]Result{}
	var keys [][2]string
	for _, f := range files {
		b, err := os.ReadFile(f)
		check(err)
		for _, l := range strings.Split(string(b), "\n") {
			var r Result
			if json.Unmarshal([]byte(l), &r) != nil || r.Peer == "" {
				continue
			}
			k := [2]string{r.Workload, r.Peer}
			if rows[k] == nil {
				keys = append(keys, k)
			}
			rows[k] = append(rows[k], r)
		}
	}
	sort.SliceStable(keys, func(i, j int) bool { return keys[i][0] < keys[j][0] })
	fmt.Println("| workload | peer | runs | per server-CPU-s (min-max) | qscpd is | per s wall | server util | loadgen util | arrival p50/p99/max ms | ack p50/p99/max ms | KiB RSS/PSS per conn | RSS MiB | calib | noise | TLS | besides |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, k := range keys {
		rs := rows[k]
		med := func(f func(Result) float64) float64 { return median(rs, f) }
		three := func(f, g, h func(Result) float64) string {
			if med(h) == 0 {
				return ""
			}
			return fmt.Sprintf("%.2f/%.2f/%.1f", med(f), med(g), med(h))
		}
		lo, hi := math.Inf(1), 0.0
		for _, r := range rs {
			lo, hi = math.Min(lo, r.PerCPUSec), math.Max(hi, r.PerCPUSec)
		}
		ratio, memory := "", ""
		if ours := rows[[2]string{k[0], "qscpd"}]; ours != nil && k[1] != "qscpd" {
			ratio = fmt.Sprintf("%.2f x", median(ours, perCPUSec)/med(perCPUSec))
		}
		if med(func(r Result) float64 { return r.KiBPerConn }) != 0 {
			memory = fmt.Sprintf("%.1f/%.1f", med(func(r Result) float64 { return r.KiBPerConn }), med(func(r Result) float64 { return r.PSSPerConn }))
		}
		fmt.Printf("| %s | %s | %d | %.0f (%.0f-%.0f) | %s | %.0f | %.2f | %.2f | %s | %s | %s | %.0f | %.0f | %.2f | %s | %s |\n", k[0], k[1], len(rs),
			med(perCPUSec), lo, hi, ratio,
			med(func(r Result) float64 { return r.PerSec }),
			med(func(r Result) float64 { return r.ServerUtil }),
			med(func(r Result) float64 { return r.OwnUtil }),
			three(func(r Result) float64 { return r.P50 }, func(r Result) float64 { return r.P99 }, func(r Result) float64 { return r.Max }),
			three(func(r Result) float64 { return r.AckP50 }, func(r Result) float64 { return r.AckP99 }, func(r Result) float64 { return r.AckMax }),
			memory,
			med(func(r Result) float64 { return r.RSS })/1024,
			med(func(r Result) float64 { return r.Calib }), med(func(r Result) float64 { return r.Noise }), rs[0].TLS, besides(rs))
	}
}

// besides returns what a workload reports beyond the columns that all have.
func besides(rs []Result) string {
	if took := median(rs, func(r Result) float64 { return r.Took }); took != 0 {
		return fmt.Sprintf("%d in %.1f s, %.0f retries", rs[0].Done, took, median(rs, func(r Result) float64 { return float64(r.Retries) }))
	}
	if rs[0].Sustained != nil {
		med := func(f func(s *Sustained) float64) float64 {
			return median(rs, func(r Result) float64 { return f(r.Sustained) })
		}
		return fmt.Sprintf("CPU us per message: path %.2f, deferred %.2f, total %.2f; caught up after %.1f s; stop %.2f; bytes per message: on disk %.0f, written %.0f",
			med(func(s *Sustained) float64 { return s.Path }), med(func(s *Sustained) float64 { return s.Deferred }),
			med(func(s *Sustained) float64 { return s.Total }), med(func(s *Sustained) float64 { return s.CaughtUp }),
			med(func(s *Sustained) float64 { return s.Stop }),
			med(func(s *Sustained) float64 { return s.Disk }), med(func(s *Sustained) float64 { return s.Written }))
	}
	if rs[0].Receipts != nil {
		med := func(f func(x *Receipts) float64) float64 {
			return median(rs, func(r Result) float64 { return f(r.Receipts) })
		}
		return fmt.Sprintf("CPU us per message: without receipts %.1f, with %.1f, so receipts %.1f; receipts per message: sent %.2f, passed on %.2f",
			med(func(x *Receipts) float64 { return x.Without }), med(func(x *Receipts) float64 { return x.With }),
			med(func(x *Receipts) float64 { return x.Cost }), med(func(x *Receipts) float64 { return x.PerMessage }),
			med(func(x *Receipts) float64 { return x.Heard }))
	}
	if rs[0].Online == nil {
		return ""
	}
	med := func(f func(o *Online) float64) float64 {
		return median(rs, func(r Result) float64 { return f(r.Online) })
	}
	return fmt.Sprintf("CPU ms per arrival, alone and watched: %.2f, %.2f; main thread: %.2f, %.2f, so notices %.2f; to each that watches: %.0f lines, %.1f KiB",
		med(func(o *Online) float64 { return o.Alone }), med(func(o *Online) float64 { return o.Watched }),
		med(func(o *Online) float64 { return o.AloneMain }), med(func(o *Online) float64 { return o.WatchedMain }),
		med(func(o *Online) float64 { return o.WatchedMain - o.AloneMain }),
		med(func(o *Online) float64 { return o.Frames }), med(func(o *Online) float64 { return o.KiB }))
}

func perCPUSec(r Result) float64 { return r.PerCPUSec }

func median(rs []Result, f func(Result) float64) float64 {
	v := make([]float64, len(rs))
	for i := range rs {
		v[i] = f(rs[i])
	}
	sort.Float64s(v)
	return v[len(v)/2]
}
