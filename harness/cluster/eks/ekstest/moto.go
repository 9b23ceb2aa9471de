// Package ekstest is AWS for tests: the server of moto, a library that emulates it, and
// before that a proxy that plays what moto leaves out. moto makes everything ACTIVE at once
// and knows neither add-ons nor updates, versions or quotas.
//
// What is shown by it was shown on an emulator. Nothing of it was run on AWS.
package ekstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// requirements are moto and what its server needs. The extra moto[server] would bring three
// times as much, for services that nobody asks for.
var requirements = []string{"moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"}

// ErrMissing says that this machine lacks what moto needs.
var ErrMissing = errors.New("moto cannot be run here")

// Moto is a running server.
type Moto struct {
	URL string
	cmd *exec.Cmd
}

// Start starts moto's server on the loopback interface. It is installed by pip the first
// time, into a folder of the user's cache. The error wraps ErrMissing where Python, pip or
// the package index is missing.
func Start(ctx context.Context) (*Moto, error) {
	lib, err := install(ctx)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	m := &Moto{URL: fmt.Sprintf("http://127.0.0.1:%d", port)}
	m.cmd = exec.Command("python3", "-m", "moto.server", "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	// Without it, moto knows none of the policies that are AWS's own.
	m.cmd.Env = append(os.Environ(), "PYTHONPATH="+lib, "MOTO_IAM_LOAD_MANAGED_POLICIES=true")
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	m.cmd.Stdout, m.cmd.Stderr = &said, &said
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start moto's server: %w", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if err := m.Reset(ctx); err == nil {
			return m, nil
		} else if time.Now().After(deadline) {
			m.Stop()
			return nil, fmt.Errorf("start moto's server: %w\n%s", err, said.String())
		}
	}
}

// Stop ends the server.
func (m *Moto) Stop() {
	_ = m.cmd.Process.Kill() // it may have ended
	_ = m.cmd.Wait()
}

// Reset empties the account.
func (m *Moto) Reset(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL+"/moto-api/reset", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("reset moto: %s", response.Status)
	}
	return nil
}

// install is the folder with moto's modules, which is made once.
func install(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("python3"); err != nil {
		return "", fmt.Errorf("%w: there is no python3 (Debian: apt-get install python3 python3-pip)", ErrMissing)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	parent := filepath.Join(cache, "meshbench-tests")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	folder := filepath.Join(parent, strings.ReplaceAll(requirements[0], "==", "-"))
	lock := flock.New(folder + ".lock")
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	made, err := os.MkdirTemp(parent, "installing-")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	defer os.RemoveAll(made)
	args := append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", made}, requirements...)
	if out, err := exec.CommandContext(ctx, "python3", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: install %s by pip: %w\n%s", ErrMissing, strings.Join(requirements, ", "), err, out)
	}
	if err := os.Rename(made, folder); err != nil {
		return "", fmt.Errorf("install moto: %w", err)
	}
	return folder, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
