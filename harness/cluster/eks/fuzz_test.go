package eks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzPrices reads a file of prices: with what is built in they are complete, or the error names
// the file.
func FuzzPrices(f *testing.F) {
	f.Add("date: 2026-11-30\nregion: us-east-1\ncontrolPlane: 0.2\n")
	f.Add("date: x\nregion: elsewhere\ncontrolPlane: 0.2\nextendedSupport: 1\ngibMonth: 1\npublicIPv4: 1\nnatGateway: 1\n")
	f.Add("region: [\n")
	f.Add("date: x\nregion: y\ncontrolPlane: -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "prices.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		prices, err := readPrices(file)
		if err != nil {
			if !strings.Contains(err.Error(), "--price-file "+file) {
				t.Errorf("error %v", err)
			}
			return
		}
		if prices.Date == "" || prices.Region == "" || prices.Source == "" || !(prices.ControlPlane > 0 && prices.NATGateway > 0) {
			t.Errorf("prices %+v", prices)
		}
	})
}
