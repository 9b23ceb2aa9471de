package kubelet

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// handler is what a probe or a lifecycle hook does; one field is set.
type handler struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	sleep *corev1.SleepAction
}

func probeHandler(p *corev1.Probe) handler {
	return handler{exec: p.Exec, http: p.HTTPGet, tcp: p.TCPSocket}
}

func hookHandler(h *corev1.LifecycleHandler) handler {
	return handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep}
}

// target is the container that a handler is about.
type target struct {
	podIP     string
	container *corev1.Container
	process   Process
}

// run does what the handler says. An error says why it failed.
func (h handler) run(ctx context.Context, t target) error {
	switch {
	case h.exec != nil:
		var out bytes.Buffer
		code, err := t.process.Exec(ctx, h.exec.Command, nil, &out, &out, false, nil)
		if err != nil {
			return fmt.Errorf("run %s: %w", strings.Join(h.exec.Command, " "), err)
		}
		if code != 0 {
			return fmt.Errorf("%s ended with %d: %s", strings.Join(h.exec.Command, " "), code, tail(out.Bytes()))
		}
		return nil
	case h.http != nil:
		return t.get(ctx, h.http)
	case h.tcp != nil:
		port, err := t.port(h.tcp.Port)
		if err != nil {
			return err
		}
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(t.host(h.tcp.Host), port))
		if err != nil {
			return err
		}
		return conn.Close()
	case h.sleep != nil:
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(h.sleep.Seconds) * time.Second):
		}
		return ctx.Err()
	}
	return errors.New("the embedded cluster knows exec, httpGet, tcpSocket and sleep only")
}

func (t target) host(host string) string {
	if host == "" {
		return t.podIP
	}
	return host
}

// port resolves the name of one of the container's ports.
func (t target) port(port intstr.IntOrString) (string, error) {
	if port.Type == intstr.Int {
		return strconv.Itoa(port.IntValue()), nil
	}
	for _, p := range t.container.Ports {
		if p.Name == port.StrVal {
			return strconv.Itoa(int(p.ContainerPort)), nil
		}
	}
	if number, err := strconv.Atoi(port.StrVal); err == nil {
		return strconv.Itoa(number), nil
	}
	return "", fmt.Errorf("container %s has no port %q", t.container.Name, port.StrVal)
}

// get asks as a kubelet does: without verifying certificates, following redirects to the
// same host only, a status of 200 to 399 being a success.
func (t target) get(ctx context.Context, action *corev1.HTTPGetAction) error {
	port, err := t.port(action.Port)
	if err != nil {
		return err
	}
	scheme := strings.ToLower(string(action.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	// The path may hold a query.
	u, err := url.Parse(action.Path)
	if err != nil {
		return fmt.Errorf("path %q: %w", action.Path, err)
	}
	u.Scheme, u.Host = scheme, net.JoinHostPort(t.host(action.Host), port)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/1.31")
	request.Header.Set("Accept", "*/*")
	for _, h := range action.HTTPHeaders {
		if strings.EqualFold(h.Name, "Host") {
			request.Host = h.Value
		}
		request.Header.Set(h.Name, h.Value)
	}
	client := http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 10<<10)) // for the message only
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("%s answered %s: %s", u, response.Status, tail(body))
	}
	return nil
}

// tail is the end of a text, short enough for an event.
func tail(text []byte) string {
	text = bytes.TrimSpace(text)
	return string(text[max(0, len(text)-200):])
}

// verdict is what a probe says of a container.
type verdict int

const (
	unknown verdict = iota
	passed
	failed
)

// judge turns the results of a probe into a verdict: so many equal ones in a row, as the
// probe's thresholds say, make it.
type judge struct {
	probe   *corev1.Probe
	verdict verdict
	last    verdict // result
	run     int     // equal results in a row
}

// observe takes one result and reports whether the verdict has changed.
func (j *judge) observe(err error) bool {
	result, threshold := passed, j.probe.SuccessThreshold
	if err != nil {
		result, threshold = failed, j.probe.FailureThreshold
	}
	if result != j.last {
		j.last, j.run = result, 0
	}
	j.run++
	if j.run < int(threshold) || result == j.verdict {
		return false
	}
	j.verdict = result
	return true
}

// watch runs the probe until ctx ends and calls changed for each change of its verdict,
// with why it failed or nil.
func watch(ctx context.Context, probe *corev1.Probe, initial verdict, t target, changed func(err error)) {
	sleep(ctx, time.Duration(probe.InitialDelaySeconds)*time.Second)
	j := judge{probe: probe, verdict: initial}
	ticker := time.NewTicker(max(1, time.Duration(probe.PeriodSeconds)) * time.Second)
	defer ticker.Stop()
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, max(1, time.Duration(probe.TimeoutSeconds))*time.Second)
		err := probeHandler(probe).run(attempt, t)
		cancel()
		if ctx.Err() == nil && j.observe(err) {
			changed(err)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
