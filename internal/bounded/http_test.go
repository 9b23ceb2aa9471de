package bounded

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTransport(t *testing.T) {
	const most = 1 << 16
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			_, _ = io.WriteString(w, "text")
		case "/lie": // more than it says; the server then closes the connection
			w.Header().Set("Content-Length", "1000000")
			_, _ = io.WriteString(w, "text")
		default:
			_, _ = io.Copy(w, io.LimitReader(endless('a'), 4*most))
		}
	}))
	defer server.Close()
	client := &http.Client{Transport: Transport(most)(http.DefaultTransport)}
	for _, test := range []struct {
		path  string
		bytes int
		err   error
	}{
		{"/short", 4, nil},
		{"/lie", 4, io.ErrUnexpectedEOF},
		{"/endless", most, ErrTooLong},
		{"/endless?limit=500", most, ErrTooLong},
		{"/endless?watch=false", most, ErrTooLong},
		{"/endless?watch=true", 4 * most, nil},
		{"/endless?watch=1", 4 * most, nil},
		{"/endless?follow=true", 4 * most, nil},
	} {
		response, err := client.Get(server.URL + test.path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if len(text) != test.bytes || !errors.Is(err, test.err) {
			t.Errorf("%s: %d bytes and %v, want %d and %v", test.path, len(text), err, test.bytes, test.err)
		}
	}
	if _, err := client.Get(strings.Replace(server.URL, "http://127.0.0.1", "http://127.0.0.1:1/", 1)); err == nil {
		t.Error("no error of a server that is not there")
	}
}
