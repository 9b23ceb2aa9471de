package sample

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// same are the labels that say of which container's process a series is, and on which machine.
// A container that was restarted, or a pod that was made again elsewhere, differs in them from
// what it was before.
var same = map[model.LabelName]bool{
	model.MetricNameLabel: true, "namespace": true, "pod": true, "container": true,
	"id": true, "name": true, "image": true, "cpu": true, "uid": true, "instance": true, "node": true,
}

// scraperOf is who scraped a series: its labels but for those of the container.
func scraperOf(labels model.Metric) string {
	who := model.Metric{}
	for label, value := range labels {
		if !same[label] {
			who[label] = value
		}
	}
	return who.String()
}

// intervals are the times between two samples of each scraper, by the median over its rows.
// One of which no row has two is left out: how old its samples may be is not known.
func intervals(rows []row) map[string]time.Duration {
	gaps := map[string][]time.Duration{}
	for _, r := range rows {
		for i := 1; i < len(r.samples); i++ {
			gaps[r.scraper] = append(gaps[r.scraper], r.samples[i].Timestamp.Sub(r.samples[i-1].Timestamp))
		}
	}
	middle := map[string]time.Duration{}
	for who, list := range gaps {
		slices.Sort(list)
		middle[who] = list[len(list)/2]
	}
	return middle
}

// pick chooses, for each container, the row of its newest process among those that are fresh.
// Rows of two scrapers for one container are an error, which says how to choose.
func pick(rows []row, fresh func(row) bool) (map[container]row, error) {
	chosen := map[container]row{}
	for _, r := range rows {
		if !fresh(r) {
			continue
		}
		other, there := chosen[r.container]
		if there && other.scraper != r.scraper {
			return nil, ambiguous(other, r)
		}
		if !there || r.last().Timestamp.After(other.last().Timestamp) {
			chosen[r.container] = r
		}
	}
	return chosen, nil
}

// errTwoValues is the beginning of the error of two rows for one container, which time does
// not mend.
var errTwoValues = errors.New("it has two values for container")

// ambiguous is the error of two rows for one container.
func ambiguous(a, b row) error {
	one := fmt.Errorf("%w %s of %s/%s", errTwoValues, a.name, a.namespace, a.pod)
	if x, y := a.labels["job"], b.labels["job"]; x != y {
		jobs := slices.Sorted(slices.Values([]string{string(x), string(y)}))
		return fmt.Errorf("%w, of the jobs %s and %s: choose one with --prometheus-job", one, jobs[0], jobs[1])
	}
	for _, label := range slices.Sorted(maps.Keys(union(a.labels, b.labels))) {
		if x, y := a.labels[label], b.labels[label]; !same[label] && x != y {
			values := slices.Sorted(slices.Values([]string{string(x), string(y)}))
			return fmt.Errorf("%w, of job %s, with the labels %s=%q and %[3]s=%[5]q: choose one with --prometheus-match %[3]s=VALUE", one, a.labels["job"], label, values[0], values[1])
		}
	}
	return fmt.Errorf("%w of job %s", one, a.labels["job"])
}

func union(a, b model.Metric) model.Metric {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// withCPU adds to the rows of memory what CPU the same processes used between their last two
// samples. It is unknown where there is one sample, and where the counter began anew.
func withCPU(memory map[container]row, cpu []row) []reading {
	found := map[container]*reading{}
	for name, r := range memory {
		found[name] = &reading{
			container: name, memoryBytes: int64(r.last().Value), measured: r.last().Timestamp.Time().UTC(),
		}
	}
	for _, r := range cpu {
		m, there := memory[r.container]
		if !there || m.labels["id"] != r.labels["id"] || m.labels["instance"] != r.labels["instance"] || m.scraper != r.scraper {
			continue
		}
		into, last := found[r.container], r.last()
		into.cpuSeconds = float64(last.Value)
		if n := len(r.samples); n > 1 {
			before := r.samples[n-2]
			if rate := float64(last.Value-before.Value) / last.Timestamp.Sub(before.Timestamp).Seconds(); rate >= 0 {
				into.cpuNano, into.window = int64(rate*1e9), last.Timestamp.Sub(before.Timestamp)
			}
		}
	}
	sorted := make([]reading, 0, len(found))
	for _, r := range found {
		sorted = append(sorted, *r)
	}
	slices.SortFunc(sorted, byContainer)
	return sorted
}
