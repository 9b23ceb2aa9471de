package growth

// Account is what the Envoys of a workload say of their own memory, beside the working set
// of the same sidecars. Of each step those never dumped are asked, where none was, those
// that were.
type Account struct {
	// Witness says that some of it is of sidecars that had been dumped.
	Witness bool           `json:"witness,omitempty"`
	Points  []AccountPoint `json:"points"`
	// Slopes; nil where there is nothing to fit.
	Memory    *Slope `json:"memory,omitempty"`
	Physical  *Slope `json:"physical,omitempty"`
	Heap      *Slope `json:"heap,omitempty"`
	Allocated *Slope `json:"allocated,omitempty"`
}

// AccountPoint are medians at one step.
type AccountPoint struct {
	Step        string `json:"step"`
	Revisions   int    `json:"revisions"`
	MemoryBytes int64  `json:"memoryBytes"` // working set; 0 where it was not read
	// PhysicalBytes is what the allocator holds of the machine's memory, HeapBytes what it
	// manages, AllocatedBytes what Envoy uses of that.
	PhysicalBytes  int64 `json:"physicalBytes"`
	HeapBytes      int64 `json:"heapBytes"`
	AllocatedBytes int64 `json:"allocatedBytes"`
	Fitted         bool  `json:"fitted"` // settled, and of containers that were never started anew
}

// account is what the workload's Envoys say; nil where none was asked.
func (l *log) account(name string) *Account {
	a := &Account{}
	var memory, physical, heap, allocated []place
	for _, s := range l.steps {
		for _, witness := range []bool{false, true} {
			var m, p, h, c []int64
			fitted := s.settled && s.measured
			for key, e := range s.envoys {
				if key.witness != witness || l.workloadOf[key.pod] != name {
					continue
				}
				if u, ok := s.usage[key]; ok {
					m = append(m, u.MemoryBytes)
				}
				p, h, c = append(p, e.TotalPhysical), append(h, e.HeapSize), append(c, e.Allocated)
				fitted = fitted && !l.endedBefore(key.pod, e.at)
			}
			if len(c) == 0 {
				continue
			}
			point := AccountPoint{
				Step: s.name, Revisions: s.revisions, MemoryBytes: median(m), PhysicalBytes: median(p),
				HeapBytes: median(h), AllocatedBytes: median(c), Fitted: fitted,
			}
			a.Points = append(a.Points, point)
			a.Witness = a.Witness || witness
			if fitted {
				memory = append(memory, place{s.revisions, float64(point.MemoryBytes)})
				physical = append(physical, place{s.revisions, float64(point.PhysicalBytes)})
				heap = append(heap, place{s.revisions, float64(point.HeapBytes)})
				allocated = append(allocated, place{s.revisions, float64(point.AllocatedBytes)})
			}
			break
		}
	}
	if len(a.Points) == 0 {
		return nil
	}
	a.Memory, _ = line(memory)
	a.Physical, _ = line(physical)
	a.Heap, _ = line(heap)
	a.Allocated, _ = line(allocated)
	return a
}
