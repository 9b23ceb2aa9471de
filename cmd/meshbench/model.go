package main

import (
	"fmt"

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

// read returns the model, and the calibration that is in it, nil for none.
func (m *modelFlags) read() (*costmodel.Model, *costmodel.Calibration, error) {
	model, err := costmodel.Default()
	if m.model != "" {
		model, err = costmodel.Read(m.model)
	}
	if err != nil || len(m.calibrate) == 0 {
		return model, nil, err
	}
	var logs []costmodel.Log
	for _, dir := range m.calibrate {
		records, _, err := observations.ReadFile(dir)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read the log of run %s: %w", dir, err)
		}
		logs = append(logs, costmodel.Log{Path: dir, Records: records})
	}
	c, err := costmodel.Calibrate(model, logs)
	if err != nil {
		return nil, nil, fmt.Errorf("--calibrate: %w", err)
	}
	return model.Calibrated(c), c, nil
}
