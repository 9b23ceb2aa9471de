package sandbox

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// The end of one direction is passed on while the other goes on: here the target
// answers only after it has seen the end of the question.
func TestForwardPassesOnTheEndOfOneDirection(t *testing.T) {
	target, front := listen(t), listen(t)
	go func() {
		conn, err := target.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		question, _ := io.ReadAll(conn)
		io.WriteString(conn, strings.ToUpper(string(question)))
	}()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- forward(ctx, front, target.Addr().String()) }()

	conn, err := net.DialTCP("tcp", nil, front.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	question := strings.Repeat("all of it ", 100_000)
	if _, err := io.WriteString(conn, question); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if string(answer) != strings.ToUpper(question) {
		t.Errorf("%d of %d bytes came back", len(answer), len(question))
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("forward ended without a reason")
	}
}

// While the API server does not answer, clients see their connection end.
func TestForwardWithoutTarget(t *testing.T) {
	gone, front := listen(t), listen(t)
	gone.Close()
	go forward(t.Context(), front, gone.Addr().String())
	conn, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if text, err := io.ReadAll(conn); err == nil && len(text) > 0 {
		t.Errorf("got %q", text)
	}
}
