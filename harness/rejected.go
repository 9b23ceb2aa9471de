package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// rejections tell which configuration Envoys have refused since the last look.
type rejections struct {
	// shared tells that istiods serve others' proxies, too: whose refusals they have counted
	// is not known.
	shared  bool
	counted map[string]float64 // refused updates by istiod's pod, as it counted them last
}

// since looks at what each istiod has counted and at the refusals that still stand
// ([sample.Quiet]), and returns each in words. What was refused and then replaced by
// something that was accepted is only known by its number. An istiod that was not seen
// before has counted from zero.
func (r *rejections) since(control []observations.Istiod, standing []string) []string {
	var more float64
	counted := map[string]float64{}
	for _, c := range control {
		more += max(0, c.Rejected-r.counted[c.Pod])
		counted[c.Pod] = c.Rejected
	}
	r.counted = counted
	var texts []string
	for _, s := range standing {
		texts = append(texts, refusedText(s))
	}
	if len(texts) == 0 && more > 0 && !r.shared {
		texts = append(texts, fmt.Sprintf("Envoy refused configuration %g times and accepted what came after it; istiod's log says what it was", more))
	}
	return texts
}

// refusedText is a refusal in words ([sample.Quiet]): what Envoy said, of many listeners of
// the first, and what that means where it is known.
func refusedText(refusal string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(refusal), "\n")
	text := "Envoy refused configuration: " + strings.TrimRight(first, ". ")
	if rest = strings.TrimSpace(rest); rest != "" {
		text += fmt.Sprintf(" (and %d more of the same update)", 1+strings.Count(rest, "\n"))
	}
	if lacks := sample.LacksIstio(refusal); lacks != "" {
		text += "; " + lacks
	}
	return text
}

// refusedError is the end of a run for refused configuration.
func refusedError(texts []string) error {
	more := ""
	if n := len(texts) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return fmt.Errorf("%s%s: measured configuration differs from the requested one; use --allow-rejected to continue",
		strings.TrimRight(texts[0], ".\n"), more)
}

const (
	// refusalsAfter is how long an action goes on before istiod is asked whether an Envoy
	// refuses configuration: most actions are over by then.
	refusalsAfter = 2 * time.Second
	// refusalsEvery is how often it is asked. Its counters are a few KB of answer.
	refusalsEvery = 2 * time.Second
)

// refusals end a run as soon as an Envoy refuses configuration: what waits for its pod
// waits in vain, and what is measured is not what was asked for.
type refusals struct {
	allowed  bool // they are reported, and the run goes on
	recorder *recorder
	istiods  interface {
		// Refused is how many updates were refused, as all istiods have counted.
		Refused(context.Context) (float64, error)
		// Quiet knows the refusals that stand.
		Quiet(context.Context) (sample.Quiet, error)
	}
	// asker names the object that asks for what was refused, in words; "" where it is not
	// found.
	asker func(ctx context.Context, refusal string) string

	counted float64 // by the last look of now
}

// standing returns an error for refusals that stand ([sample.Quiet]) unless they are
// allowed, and records them.
func (r *refusals) standing(ctx context.Context, standing []string) error {
	if r.allowed || len(standing) == 0 {
		return nil
	}
	// The first is what people read: better one of which it is known who asks for it.
	var texts, nobodys []string
	for _, s := range standing {
		text := refusedText(s)
		what := r.asker(ctx, s)
		if what != "" {
			text += "; " + what
		}
		r.recorder.event(observations.Warning, observations.Rejected, text, "")
		if what == "" {
			nobodys = append(nobodys, text)
		} else {
			texts = append(texts, text)
		}
	}
	return refusedError(append(texts, nobodys...))
}

// during does something, and ends it when an Envoy refuses configuration meanwhile. The
// error is then that of the refusal.
func (r *refusals) during(ctx context.Context, do func(context.Context) error) error {
	if r.allowed {
		return do(ctx)
	}
	acting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watching sync.WaitGroup
	var refused error
	watching.Go(func() {
		refused = r.await(acting)
		cancel(refused)
	})
	err := do(acting)
	cancel(nil)
	watching.Wait()
	if err != nil && refused != nil && !errors.Is(err, refused) {
		return refused // err is of a request that was cut off
	}
	return err
}

// await returns what an Envoy has refused once one has, or nil when ctx ends.
func (r *refusals) await(ctx context.Context) error {
	for wait := refusalsAfter; ; wait = refusalsEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if err := r.now(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// now returns what an Envoy has refused and stands. Only when more was refused than at the
// last look is asked what. What cannot be read is asked for again the next time.
func (r *refusals) now(ctx context.Context) error {
	if r.allowed {
		return nil
	}
	n, err := r.istiods.Refused(ctx)
	if err != nil || n == r.counted {
		return nil
	}
	q, err := r.istiods.Quiet(ctx)
	if err != nil {
		return nil
	}
	r.counted = n
	return r.standing(ctx, q.Rejected)
}
