package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
)

// Executor runs commands in containers, through the API server.
type Executor struct {
	config *rest.Config
	client rest.Interface
}

// NewExecutor makes one for the cluster that cfg leads to, which is copied.
func NewExecutor(cfg *rest.Config) (*Executor, error) {
	client, err := New(cfg)
	if err != nil {
		return nil, err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent = Manager
	return &Executor{config: cfg, client: client.CoreV1().RESTClient()}, nil
}

// Exec runs a command in a container of a pod and returns when it has ended. An [ExitError]
// says that it ran and failed. When ctx ends before, the connection is closed; whether that
// ends the command is the node's affair.
func (e *Executor) Exec(ctx context.Context, pod types.NamespacedName, container string, command []string, stdout, stderr io.Writer) error {
	url := e.client.Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	transport, upgrader, err := Streams(e.config)
	if err != nil {
		return fmt.Errorf("prepare to run %s in %s: %w", command[0], pod, err)
	}
	run, err := remotecommand.NewSPDYExecutorForTransports(transport, upgrader, http.MethodPost, url)
	if err != nil {
		return fmt.Errorf("prepare to run %s in %s: %w", command[0], pod, err)
	}
	err = run.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: stdout, Stderr: stderr})
	var code exec.CodeExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &code):
		return &ExitError{Code: code.Code}
	}
	return fmt.Errorf("run %s in container %s of pod %s: %w", command[0], container, pod, err)
}

// ExitError is the end of a command that failed.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }
