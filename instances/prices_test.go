package instances

import (
	"math"
	"testing"
)

// Prices of a few sizes, as the price list of 2026-01-19 has them.
func TestPrices(t *testing.T) {
	list := List()
	for name, want := range map[string]float64{
		"m6i.large": 0.096, "m6i.32xlarge": 6.144, "m5.24xlarge": 4.608, "m6a.48xlarge": 8.2944,
		"m7i.48xlarge": 9.6768, "m7a.32xlarge": 7.41888, "c6i.2xlarge": 0.34, "c6a.48xlarge": 7.344,
		"c7i.12xlarge": 2.142, "r5.4xlarge": 1.008, "r6i.32xlarge": 8.064, "r6a.16xlarge": 3.6288,
		"r7i.24xlarge": 6.3504, "t3.medium": 0.0416,
	} {
		got, err := list.Instance(name)
		if err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v an hour, %v; want %v", name, got, err, want)
		}
	}
	for _, typ := range Types() {
		if _, err := list.Instance(typ.Name); err != nil {
			t.Error(err)
		}
	}
	if _, err := list.Instance("x1.32xlarge"); err == nil {
		t.Error("a type without a price is free")
	}
	if got := list.Disk(); math.Abs(got-20*0.08/730) > 1e-9 {
		t.Errorf("a disk costs %v an hour", got)
	}
}

// The limits are those that max-pods-calculator.sh prints.
func TestManagedMaxPods(t *testing.T) {
	for _, tt := range []struct {
		name            string
		plain, prefixed int
	}{
		{"m6i.large", 29, 110},
		{"m6i.4xlarge", 110, 110}, // 234 by the formula of addresses
		{"m6i.8xlarge", 234, 250},
		{"m6i.32xlarge", 250, 250}, // 737
		{"t3.nano", 4, 34},
		{"t3.small", 11, 110},
	} {
		typ, err := Lookup(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := typ.ManagedMaxPods(false); got != tt.plain {
			t.Errorf("%s: %d pods, want %d", tt.name, got, tt.plain)
		}
		if got := typ.ManagedMaxPods(true); got != tt.prefixed {
			t.Errorf("%s with prefixes: %d pods, want %d", tt.name, got, tt.prefixed)
		}
	}
}
