// Package light speaks for simulated pods as their sidecars would, so that istiod carries
// every pod of a mesh while few sidecars run. One process, this program again, speaks for all
// pods of a cluster, so that what it costs is known apart from what the nodes cost. What is
// said is in package ads; here is who says it: how a pod's sidecar would be set up, the
// process, and the way to it.
package light

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/harness/cluster/embedded/peer"
	"github.com/meshbench/meshbench/internal/childenv"
)

// Process is the process that speaks for light proxies. It is safe for concurrent use.
type Process struct {
	cmd    *exec.Cmd
	peer   *peer.Client
	done   chan struct{}
	socket string

	mu        sync.Mutex
	listeners map[string]func(Change)
	err       error
}

// startLimit is how long the process may take until it listens.
const startLimit = 20 * time.Second

// started counts processes, so that each has a socket of its own.
var started atomic.Int64

// Start starts the process. What it says goes to the file log.
func Start(ctx context.Context, log string) (_ *Process, err error) {
	// The name is of the network namespace, which is the sandbox's: a path of a long name of a
	// cluster would be too long for a socket.
	socket := fmt.Sprintf("@meshbench-light-%d-%d", os.Getpid(), started.Add(1))
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of light proxies: %w", err)
	}
	defer out.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{os.Args[0], Command, socket}
	cmd.Dir = "/"
	cmd.Env = []string{childenv.SearchPath}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the process of light proxies: %w", err)
	}
	p := &Process{
		cmd: cmd, done: make(chan struct{}), socket: socket, listeners: map[string]func(Change){},
		peer: peer.New("the light proxies", socket, 8),
	}
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = fmt.Errorf("the process of light proxies has ended (%v); see %s", cmd.ProcessState, log)
		if err == nil {
			p.err = errors.New("the process of light proxies was ended")
		}
		p.mu.Unlock()
		close(p.done)
	}()
	if err := p.follow(ctx); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// follow begins to hear of changes, once the process listens.
func (p *Process) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("the process of light proxies does not answer after %s", startLimit))
	defer cancel()
	for {
		request, err := http.NewRequest(http.MethodGet, peer.URL(changesPath), nil)
		if err != nil {
			return err
		}
		response, err := p.peer.HTTP.Do(request) //nolint:bodyclose // hear does
		if err == nil {
			go p.hear(response.Body)
			return nil
		}
		select {
		case <-p.done:
			return p.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *Process) hear(changes io.ReadCloser) {
	defer changes.Close()
	for decoder := json.NewDecoder(changes); ; {
		var c Change
		if decoder.Decode(&c) != nil {
			return
		}
		p.mu.Lock()
		told := p.listeners[c.ID]
		p.mu.Unlock()
		if told != nil {
			told(c)
		}
	}
}

// Done is closed when the process has ended, and Err then says how.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is why the process has ended; nil while it runs.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop ends the process, and all connections with it.
func (p *Process) Stop() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
	p.peer.HTTP.CloseIdleConnections()
}

// Add begins to speak for a proxy. changed is called with each change of it, from another
// goroutine, and must not block.
func (p *Process) Add(ctx context.Context, proxy Proxy, changed func(Change)) error {
	p.mu.Lock()
	p.listeners[proxy.ID] = changed
	p.mu.Unlock()
	err := p.call(ctx, http.MethodPost, proxiesPath, proxy, nil)
	if err != nil {
		p.forget(proxy.ID)
	}
	return err
}

// SetToken gives a proxy a newer token.
func (p *Process) SetToken(ctx context.Context, id, token string) error {
	return p.call(ctx, http.MethodPut, proxiesPath+"/"+id+"/token", token, nil)
}

// Remove stops speaking for a proxy, and returns when its connections have ended.
func (p *Process) Remove(ctx context.Context, id string) error {
	p.forget(id)
	return p.call(ctx, http.MethodDelete, proxiesPath+"/"+id, nil, nil)
}

func (p *Process) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.listeners, id)
}

// SetHosts says where hosts are, istiod's above all.
func (p *Process) SetHosts(ctx context.Context, hosts map[string][]string) error {
	return p.call(ctx, http.MethodPut, hostsPath, hosts, nil)
}

// State is how far all light proxies are.
func (p *Process) State(ctx context.Context) (state State, err error) {
	err = p.call(ctx, http.MethodGet, statePath, nil, &state)
	return state, err
}

// Details are what one proxy asks for and has.
func (p *Process) Details(ctx context.Context, id string) (details Details, err error) {
	err = p.call(ctx, http.MethodGet, proxiesPath+"/"+id, nil, &details)
	return details, err
}

// Watch notes from now on when each proxy acknowledges a response with a resource, by type
// URL and name, or with its removal.
func (p *Process) Watch(ctx context.Context, typeURL, name string) error {
	return p.call(ctx, http.MethodPut, watchesPath+"?"+url.Values{"type": {typeURL}, "name": {name}}.Encode(), nil, nil)
}

// Unwatch ends that.
func (p *Process) Unwatch(ctx context.Context, typeURL, name string) error {
	return p.call(ctx, http.MethodDelete, watchesPath+"?"+url.Values{"type": {typeURL}, "name": {name}}.Encode(), nil, nil)
}

// Acknowledged is when each proxy, namespace/pod, has first acknowledged a watched resource
// at since or later. Those that have not are missing.
func (p *Process) Acknowledged(ctx context.Context, typeURL, name string, since time.Time) (first map[string]time.Time, err error) {
	query := url.Values{"type": {typeURL}, "name": {name}, "since": {since.Format(time.RFC3339Nano)}}
	err = p.call(ctx, http.MethodGet, acknowledgedPath+"?"+query.Encode(), nil, &first)
	return first, err
}

// call asks the process. Once it has ended that is the error.
func (p *Process) call(ctx context.Context, method, path string, body, result any) error {
	err := p.peer.Call(ctx, method, path, body, result)
	if ended := p.Err(); err != nil && ended != nil {
		return ended
	}
	return err
}
