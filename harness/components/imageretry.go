package components

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// again tries until try succeeds, fails in a way that another attempt would not change, or
// the attempts are used up.
func (i *image) again(ctx context.Context, try func() error) error {
	for attempt := 0; ; attempt++ {
		err := try()
		if err == nil || ctx.Err() != nil || final(err) || attempt == len(i.pauses) {
			if err != nil && attempt > 0 {
				err = fmt.Errorf("%w (attempt %d)", err, attempt+1)
			}
			return err
		}
		select {
		case <-time.After(i.pauses[attempt]):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// final reports whether another attempt would fail in the same way: the hub has refused, or
// this machine's disk has.
func final(err error) bool {
	var refused *transport.Error
	if errors.As(err, &refused) {
		return refused.StatusCode >= 400 && refused.StatusCode < 500 && refused.StatusCode != 408
	}
	var local *fs.PathError
	return errors.As(err, &local) || errors.Is(err, syscall.ENOSPC)
}

// advice says what to do about a failure.
func (i *image) advice(err error) string {
	host := i.ref.Context().RegistryStr()
	mirror := fmt.Sprintf("another hub with --hub %s", strings.TrimPrefix(i.flag()+"=HUB", IstioHub+"="))
	var refused *transport.Error
	if errors.As(err, &refused) {
		switch code := refused.StatusCode; {
		case code == 401 || code == 403:
			return fmt.Sprintf("log in (docker login %s: credentials and helpers of the Docker config are used), or check the name: many hubs answer so for what they do not have", host)
		case code == 404:
			return fmt.Sprintf("check the version, and that %s has it; or name %s", host, mirror)
		case code == 429:
			return fmt.Sprintf("%s limits how much may be taken from it: log in (docker login %s), wait, or name %s", host, host, mirror)
		case code >= 500:
			return fmt.Sprintf("%s has trouble of its own: run the same command again later, or name %s", host, mirror)
		}
	}
	said := err.Error()
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return "free disk space, or set " + RootEnv + " to a folder on a larger disk"
	case strings.Contains(said, "error verifying") || strings.Contains(said, "does not match") || errors.Is(err, io.ErrUnexpectedEOF):
		return "what came is not what the image's manifest promises, and nothing of it was kept: something on the way changed it or cut it off; run the same command again, or name " + mirror
	case strings.Contains(said, "x509:"):
		return fmt.Sprintf("this machine does not trust the certificate of %s: add its authority to the system's (or SSL_CERT_FILE)", host)
	case errors.Is(err, errAbsent) || strings.Contains(said, "not a file") || strings.Contains(said, "the image is for") || strings.Contains(said, "no child with platform"):
		return "this is not the image that is published as " + i.published + " for " + platform().String() + ": check --hub, or build from modules (--from modules)"
	}
	return fmt.Sprintf("check the network and the proxy settings (HTTPS_PROXY, NO_PROXY) on the way to %s; where there is no way, name %s, or build from modules (--from modules)", host, mirror)
}

// flag is the published hub that --hub replaces for this image.
func (i *image) flag() string {
	if within(i.published, IstioHub) {
		return IstioHub
	}
	return KubernetesHub
}
