package sample

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Query asks a Prometheus for the series that an expression has now.
func Query(ctx context.Context, from Prometheus, expression string) (model.Vector, error) {
	p, err := newPrometheus(from)
	if err != nil {
		return nil, err
	}
	answer, err := p.query(ctx, expression, time.Time{})
	if err != nil {
		return nil, p.named(err)
	}
	series, ok := answer.(model.Vector)
	if !ok {
		return nil, p.named(fmt.Errorf("it answers with a %s when asked for series", answer.Type()))
	}
	return series, nil
}
