package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// splitter takes the connections of all ports, echoes on those that speak no HTTP, and is the
// listener of those that do.
type splitter struct {
	addr net.Addr
	web  chan net.Conn
	done chan struct{}
	once sync.Once

	mu     sync.Mutex
	echoes map[net.Conn]bool
}

// hesitation is how long a connection may take over the first bytes of its first word.
const hesitation = time.Second

// accept takes a listener's connections until it is closed.
func (s *splitter) accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		var failed net.Error
		switch {
		case err == nil:
			go s.split(conn)
		case errors.Is(err, net.ErrClosed):
			return err
		case errors.As(err, &failed): // too many open files, a connection that is gone already
			time.Sleep(10 * time.Millisecond)
		default:
			return err
		}
	}
}

// split hands a connection on by its first bytes.
func (s *splitter) split(conn net.Conn) {
	p := &peeked{Conn: conn, r: bufio.NewReaderSize(conn, 4096)}
	_ = conn.SetReadDeadline(time.Now().Add(idle))
	isHTTP, err := p.speaksHTTP()
	if err != nil {
		conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	if !isHTTP {
		s.echo(p)
		return
	}
	select {
	case s.web <- p:
	case <-s.done:
		conn.Close()
	}
}

// Accept returns the next connection that speaks HTTP.
func (s *splitter) Accept() (net.Conn, error) {
	select {
	case conn := <-s.web:
		return conn, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (s *splitter) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// Addr is that of the first port.
func (s *splitter) Addr() net.Addr { return s.addr }

// echo sends back what comes, until the other side ends or says nothing for long.
func (s *splitter) echo(conn net.Conn) {
	if !s.keep(conn) {
		conn.Close()
		return
	}
	defer s.forget(conn)
	buffer := make([]byte, 32<<10)
	for {
		_ = conn.SetDeadline(time.Now().Add(idle))
		n, err := conn.Read(buffer)
		if n > 0 {
			if _, err := conn.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *splitter) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return false
	default:
	}
	if s.echoes == nil {
		s.echoes = map[net.Conn]bool{}
	}
	s.echoes[conn] = true
	return true
}

func (s *splitter) forget(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.echoes, conn)
}

func (s *splitter) closeEchoes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.echoes {
		conn.Close()
	}
}

// peeked is a connection of which the first bytes were looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

// Read reads what was looked at first.
func (p *peeked) Read(b []byte) (int, error) {
	if p.r != nil {
		if p.r.Buffered() > 0 {
			return p.r.Read(b)
		}
		p.r = nil
	}
	return p.Conn.Read(b)
}

// firstWords are those that a connection of HTTP begins with: the methods, and HTTP/2's own.
var firstWords = []string{"GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI "}

// speaksHTTP waits for the first bytes, and for as many more as tell. Who stops within the
// first word speaks something else.
func (p *peeked) speaksHTTP() (bool, error) {
	for n := 1; ; n++ {
		head, err := p.r.Peek(n)
		if n == 1 && err != nil {
			return false, err
		}
		if n == 1 {
			_ = p.Conn.SetReadDeadline(time.Now().Add(hesitation))
		}
		if err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() || errors.Is(err, io.EOF) {
				return false, nil
			}
			return false, err
		}
		begins := false
		for _, word := range firstWords {
			if string(head) == word {
				return true, nil
			}
			begins = begins || strings.HasPrefix(word, string(head))
		}
		if !begins {
			return false, nil
		}
	}
}
