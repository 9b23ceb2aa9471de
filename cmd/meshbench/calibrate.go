package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// calibrateFlag adds the flag that names runs to calibrate the cost model by.
func calibrateFlag(f *pflag.FlagSet, runs *[]string) {
	f.StringSliceVar(runs, "calibrate", nil, "calibrate the model of a sidecar by `runs` of your own proxy (comma-separated)")
}

// calibrate is the model calibrated by runs; the model itself for none.
func calibrate(m *costmodel.Model, runs []string) (*costmodel.Model, error) {
	if len(runs) == 0 {
		return m, nil
	}
	logs, err := readLogs(runs)
	if err != nil {
		return nil, err
	}
	c, err := costmodel.Calibrate(m, logs)
	if err != nil {
		return nil, err
	}
	return m.Calibrated(c), nil
}

// readLogs reads the logs of runs, which are their folders or the logs themselves.
func readLogs(runs []string) ([]costmodel.Log, error) {
	var logs []costmodel.Log
	for _, dir := range runs {
		records, _, err := observations.ReadFile(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot read the log of run %s: %w", dir, err)
		}
		logs = append(logs, costmodel.Log{Path: dir, Records: records})
	}
	return logs, nil
}
