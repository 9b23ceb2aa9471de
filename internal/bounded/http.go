package bounded

import (
	"io"
	"net/http"
)

// Transport is a transport whose answers end with an [ErrTooLong] after so many bytes, whatever
// length they say they have. Streams are left alone, as they never end: watches and followed
// logs of the Kubernetes API, and connections that are taken over.
func Transport(most int64) func(http.RoundTripper) http.RoundTripper {
	return func(inner http.RoundTripper) http.RoundTripper { return &transport{inner, most} }
}

type transport struct {
	inner http.RoundTripper
	most  int64
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.inner.RoundTrip(request)
	if err != nil || response.StatusCode == http.StatusSwitchingProtocols {
		return response, err
	}
	query := request.URL.Query()
	for _, stream := range []string{"watch", "follow"} {
		if word := query.Get(stream); word == "true" || word == "1" {
			return response, nil
		}
	}
	response.Body = &struct {
		io.Reader
		io.Closer
	}{Reader(response.Body, t.most), response.Body}
	return response, nil
}

// WrappedRoundTripper is the transport below, for who looks for it.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.inner }
