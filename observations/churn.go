package observations

// Churn is one finished round of an action churn: what was deleted and made again.
type Churn struct {
	// What is churned, in words: namespaces, or the pods of a workload.
	What string `json:"what"`
	// Round counts from 1 to Rounds.
	Round  int `json:"round"`
	Rounds int `json:"rounds"`
	// Share and Seed chose Chosen, the places in an order that runs share, from 0, out of Of.
	// Names are those that had the places: of namespaces, or of pods, whose names no two runs
	// share.
	Share   string   `json:"share"`
	Seed    int      `json:"seed"`
	Of      int      `json:"of"`
	Chosen  []int    `json:"chosen"`
	Names   []string `json:"names"`
	Seconds float64  `json:"seconds"` // until all was there again
}
