package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"
)

const (
	// maxMessage is how large a gRPC message may be, in bytes: gRPC's own default.
	maxMessage = 4 << 20
	// prefix is a message's: one byte that tells whether it is compressed, four of its length.
	prefix = 5
)

// gRPC's status codes, as far as they are used here.
const (
	grpcOK                = 0
	grpcUnknown           = 2
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// healthCheck is the method of gRPC's health checking protocol, and serving its answer: a
// message whose only field, number 1, is SERVING.
const healthCheck = "/grpc.health.v1.Health/Check"

var serving = []byte{0, 0, 0, 0, 2, 0x08, 0x01}

// grpc answers any method with the message that it got, compressed as it came. What gRPC asks
// of a server is HTTP/2 with trailers, which net/http has; the library's server would be some
// sixty packages more in the program for that.
func (a *answerer) grpc(w http.ResponseWriter, r *http.Request) {
	a.addHeaders(w, "application/grpc")
	if encoding := r.Header.Get("Grpc-Encoding"); encoding != "" {
		w.Header().Set("Grpc-Encoding", encoding)
	}
	// Trailers that are not announced: the status is set after the message.
	end := func(code int, message string) {
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(code))
		if message != "" {
			w.Header().Set(http.TrailerPrefix+"Grpc-Message", message)
		}
	}
	if r.URL.Path == healthCheck {
		w.Header().Del("Grpc-Encoding")
		_, _ = w.Write(serving)
		end(grpcOK, "")
		return
	}
	message, err := readMessage(r.Body)
	switch {
	case errors.Is(err, errLong):
		end(grpcResourceExhausted, err.Error())
		return
	case err != nil:
		end(grpcInternal, err.Error())
		return
	}
	if !wait(r.Context(), a.config.Delay) {
		return
	}
	if code := grpcCode(a.config.Status); code != grpcOK {
		end(code, "the stand-in's configuration has status "+strconv.Itoa(a.config.Status))
		return
	}
	_, _ = w.Write(message) // who asked may be gone
	end(grpcOK, "")
}

var errLong = errors.New("the message is longer than " + strconv.Itoa(maxMessage) + " bytes")

// readMessage reads one message with its prefix. What a stream of the client has further is
// left.
func readMessage(r io.Reader) ([]byte, error) {
	var head [prefix]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errors.New("the request has no whole message")
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > maxMessage {
		return nil, errLong
	}
	// Memory is taken as bytes come, not as the prefix promises them.
	message := bytes.NewBuffer(make([]byte, 0, min(int(length)+prefix, 64<<10)))
	message.Write(head[:])
	if _, err := io.CopyN(message, r, int64(length)); err != nil {
		return nil, errors.New("the request's message broke off")
	}
	return message.Bytes(), nil
}

// grpcCode is the code for a status of HTTP, by gRPC's own mapping (http-grpc-status-mapping.md);
// those of success are OK.
func grpcCode(status int) int {
	switch {
	case status < 300:
		return grpcOK
	case status == http.StatusBadRequest:
		return grpcInternal
	case status == http.StatusUnauthorized:
		return grpcUnauthenticated
	case status == http.StatusForbidden:
		return grpcPermissionDenied
	case status == http.StatusNotFound:
		return grpcUnimplemented
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return grpcUnavailable
	}
	return grpcUnknown
}
