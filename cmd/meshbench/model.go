package main

import (
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// modelFlags say which cost model answers.
type modelFlags struct {
	model     string
	calibrate []string
}

func (m *modelFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&m.model, "model", "", "`file` of a model that 'meshbench fit' wrote (default: the built-in one)")
	f.StringArrayVar(&m.calibrate, "calibrate", nil, "`RUN` of your own mesh, of a scenario or of measure, to fit the model to your proxy (repeatable)")
}

// read returns the model, calibrated where that is asked for.
func (m *modelFlags) read() (*costmodel.Model, error) {
	model, err := costmodel.Default()
	if m.model != "" {
		model, err = costmodel.Read(m.model)
	}
	if err != nil || len(m.calibrate) == 0 {
		return model, err
	}
	logs, err := readLogs(m.calibrate, false)
	if err != nil {
		return nil, err
	}
	c, err := costmodel.Calibrate(model, logs)
	if err != nil {
		return nil, fmt.Errorf("--calibrate: %w", err)
	}
	return model.Calibrated(c), nil
}

// printCalibration says how the model was calibrated; nothing where it was not.
func printCalibration(w io.Writer, m *costmodel.Model) error {
	if m.Calibration == nil {
		return nil
	}
	return m.Calibration.Print(w)
}

// readLogs reads the logs of runs, which are their folders or the logs themselves. resumed takes
// in what was measured after an interruption.
func readLogs(runs []string, resumed bool) ([]costmodel.Log, error) {
	var logs []costmodel.Log
	for _, dir := range runs {
		records, _, err := observations.ReadFile(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot read the log of run %s: %w", dir, err)
		}
		if resumed {
			records = observations.WithResumed(records)
		}
		logs = append(logs, costmodel.Log{Path: dir, Records: records})
	}
	return logs, nil
}
