package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// parseSide reads how one side is measured.
func parseSide(flag, text string) (*setting, error) {
	s := &setting{name: text}
	for _, word := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(word, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("--%s %s: %q: expected KEY=VALUE of istio, envoy, set or meshbench, comma-separated, e.g. istio=1.23.2,set=pilot.env.X=y", flag, text, word)
		}
		switch name {
		case "istio", "envoy":
			s.flags = append(s.flags, "--"+name+"="+value)
		case "set":
			if !strings.Contains(value, "=") {
				return nil, fmt.Errorf("--%s %s: %q: expected set=KEY=VALUE, a value of the istiod chart", flag, text, word)
			}
			s.flags = append(s.flags, "--mesh-set="+value)
		case "meshbench":
			path, err := filepath.Abs(value)
			if err == nil {
				_, err = os.Stat(path)
			}
			if err != nil {
				return nil, fmt.Errorf("--%s %s: cannot find that program: %w", flag, text, err)
			}
			s.program = path
		default:
			return nil, fmt.Errorf("--%s %s: unknown key %q; known are istio, envoy, set (a value of the istiod chart) and meshbench (the path of another meshbench)", flag, text, name)
		}
	}
	return s, nil
}

// settings are both sides, ready to be measured.
func (p *pairs) settings(cmd *cobra.Command) ([]*setting, error) {
	var all []*setting
	for i, text := range p.sides {
		s, err := parseSide(sideNames[i], text)
		if err != nil {
			return nil, err
		}
		if err := s.prepare(cmd, &p.common, p.scenario); err != nil {
			return nil, fmt.Errorf("--%s %s: %w", sideNames[i], text, err)
		}
		all = append(all, s)
	}
	// What runs beside this process is measured alike on both sides.
	if all[0].program == "" && all[1].program == "" {
		return all, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	for _, s := range all {
		if s.program == "" {
			s.program = self
		}
		s.arguments = append([]string{p.scenario}, given(cmd.Flags())...)
	}
	return all, nil
}
