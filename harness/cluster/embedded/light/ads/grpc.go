package ads

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// What pilot-agent sets on its connections to istiod (pilot/pkg/grpc/grpc.go and
// pkg/keepalive/options.go of istio.io/istio): it decides how much istiod may send ahead.
const (
	window           = 1 << 20
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	// idleTimeout is after how long grpc-go lets an unused connection go.
	idleTimeout = 30 * time.Minute
)

// userAgent is what istiod sees of the library; it makes no difference to it.
const userAgent = "grpc-go/1.65.0 meshbench-light"

// connection is one connection to istiod, which is made when it is first used. What gRPC asks
// of a client is HTTP/2, which net/http has, with a prefix before each message. The library
// would hold each message as a whole, some megabytes for each of a thousand clients, and be
// sixty packages more in the program.
type connection struct{ http *http.Transport }

// endpoint is where istiod is, and by what it is known.
type endpoint struct {
	// address is IP:PORT, and name the one that its certificate must have.
	address, name string
	tls           *tls.Config // with the roots, and no name
}

// dial prepares a connection. One that is kept without a call on it is not asked whether it
// lives: istiod would take that for abuse.
func dial(to endpoint, keepalive bool) *connection {
	config := to.tls.Clone()
	config.ServerName = to.name
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	h2 := &http.HTTP2Config{MaxReceiveBufferPerConnection: window, MaxReceiveBufferPerStream: window}
	if keepalive {
		h2.SendPingTimeout, h2.PingTimeout = keepaliveTime, keepaliveTimeout
	}
	return &connection{&http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, to.address)
		},
		TLSClientConfig:     config,
		TLSHandshakeTimeout: 20 * time.Second, // grpc-go's
		Protocols:           protocols,
		HTTP2:               h2,
		MaxConnsPerHost:     1,
		IdleConnTimeout:     idleTimeout,
		DisableCompression:  true,
	}}
}

// close ends what is idle of the connection; a call ends with its context.
func (c *connection) close() { c.http.CloseIdleConnections() }

// stream is a call in which both sides send messages.
type stream struct {
	body     *io.PipeWriter
	response chan result
	cancel   context.CancelFunc

	heard   bool           // the response has come, or never will
	got     *http.Response // whose headers have come
	buffer  *bufio.Reader
	sending sync.Mutex
}

type result struct {
	response *http.Response
	err      error
}

// buffers are for reading: a stream reads seldom, and there are many.
var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// call opens a stream. What cannot be connected is an error of the first receive.
func (c *connection) call(ctx context.Context, name, method string, header http.Header) *stream {
	ctx, cancel := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	request := (&http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Scheme: "https", Host: name, Path: method},
		Host:   name, Header: header.Clone(), Body: reader, ContentLength: -1,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}).WithContext(ctx)
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	request.Header.Set("User-Agent", userAgent)
	s := &stream{body: writer, response: make(chan result, 1), cancel: cancel}
	// net/http looks at the context again once the request's body has ended.
	context.AfterFunc(ctx, func() { writer.CloseWithError(context.Cause(ctx)) })
	go func() {
		response, err := c.http.RoundTrip(request) //nolint:bodyclose // the stream's close does
		if err != nil {
			reader.CloseWithError(err) // a send must not wait for what never comes
		}
		s.response <- result{response, err}
	}()
	return s
}

// send sends a message, which begins with room for its prefix (see newMessage).
func (s *stream) send(message []byte) error {
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-prefix))
	s.sending.Lock()
	defer s.sending.Unlock()
	_, err := s.body.Write(message)
	return err
}

// prefix is a message's: one byte that tells whether it is compressed, four of its length.
const prefix = 5

// newMessage is an empty message.
func newMessage() []byte { return make([]byte, prefix, 512) }

// receive waits for the next message and returns its size; its content is then read from the
// reader, and must be read to its end.
func (s *stream) receive() (*bufio.Reader, int, error) {
	if !s.heard {
		r := <-s.response
		s.heard, s.got = true, r.response
		if r.err != nil {
			return nil, 0, r.err
		}
		if s.got.StatusCode != http.StatusOK {
			return nil, 0, fmt.Errorf("istiod answered %s", s.got.Status)
		}
		s.buffer = buffers.Get().(*bufio.Reader)
		s.buffer.Reset(s.got.Body)
		if status := s.got.Header.Get("Grpc-Status"); status != "" {
			return nil, 0, statusOf(s.got.Header)
		}
	}
	var head [prefix]byte
	if _, err := io.ReadFull(s.buffer, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, 0, statusOf(s.got.Trailer)
		}
		return nil, 0, err
	}
	if head[0] != 0 {
		return nil, 0, errors.New("istiod sent a compressed message, which it was not asked for")
	}
	return s.buffer, int(binary.BigEndian.Uint32(head[1:])), nil
}

// statusOf is the error of a call that has ended, by its trailers; io.EOF for a good end.
func statusOf(trailer http.Header) error {
	switch code := trailer.Get("Grpc-Status"); code {
	case "":
		return io.ErrUnexpectedEOF
	case "0":
		return io.EOF
	default:
		message, err := url.PathUnescape(trailer.Get("Grpc-Message"))
		if err != nil {
			message = trailer.Get("Grpc-Message")
		}
		return &Status{Code: code, Message: message}
	}
}

// Status is the end of a call as istiod wished it.
type Status struct{ Code, Message string }

// Error implements error.
func (s *Status) Error() string { return fmt.Sprintf("gRPC status %s: %s", s.Code, s.Message) }

// close ends the call.
func (s *stream) close() {
	s.cancel()
	if !s.heard {
		r := <-s.response
		s.heard, s.got = true, r.response
	}
	if s.got != nil {
		s.got.Body.Close()
	}
	if s.buffer != nil {
		s.buffer.Reset(nil)
		buffers.Put(s.buffer)
		s.buffer = nil
	}
}

// unary is a call of one message each way, of a few kilobytes.
func (c *connection) unary(ctx context.Context, name, method string, header http.Header, message []byte) ([]byte, error) {
	s := c.call(ctx, name, method, header)
	defer s.close()
	if err := s.send(message); err != nil {
		return nil, err
	}
	if err := s.body.Close(); err != nil {
		return nil, err
	}
	reader, size, err := s.receive()
	if err != nil {
		return nil, err
	}
	if size > maxUnary {
		return nil, fmt.Errorf("istiod's answer has %d bytes, at most %d are expected", size, maxUnary)
	}
	answer := make([]byte, size)
	if _, err := io.ReadFull(reader, answer); err != nil {
		return nil, err
	}
	if _, _, err := s.receive(); !errors.Is(err, io.EOF) {
		return nil, err
	}
	return answer, nil
}

const maxUnary = 1 << 20
