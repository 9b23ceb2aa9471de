package ads

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// The few fields of the protocol that a sidecar's side needs are read and written here by
// their numbers, which never change, rather than by the generated code of go-control-plane:
// that would decode each response as a whole, some thousands of objects for each of a
// thousand clients, of which only the names are kept, and its hundreds of descriptors are
// registered at each start of this program, in every pod's first process too. The tests
// hold these numbers against the generated code.

// Types of resources.
const (
	typePrefix = "type.googleapis.com/"

	ClusterType     = typePrefix + "envoy.config.cluster.v3.Cluster"
	EndpointType    = typePrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType    = typePrefix + "envoy.config.listener.v3.Listener"
	RouteType       = typePrefix + "envoy.config.route.v3.RouteConfiguration"
	SecretType      = typePrefix + "envoy.extensions.transport_sockets.tls.v3.Secret"
	ExtensionType   = typePrefix + "envoy.config.core.v3.TypedExtensionConfig"
	NameTableType   = typePrefix + "istio.networking.nds.v1.NameTable"
	ProxyConfigType = typePrefix + "istio.mesh.v1alpha1.ProxyConfig"
)

// request is a DeltaDiscoveryRequest.
type request struct {
	node        [][]byte // marshalled, in parts; only in the first of a stream
	typeURL     string
	subscribe   []string
	unsubscribe []string
	initial     []resourceVersion
	nonce       string
}

type resourceVersion struct{ name, version string }

// message is the request as a gRPC message.
func (r request) message() []byte {
	b := newMessage()
	if r.node != nil {
		size := 0
		for _, part := range r.node {
			size += len(part)
		}
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.BytesType), uint64(size))
		for _, part := range r.node {
			b = append(b, part...)
		}
	}
	b = appendString(b, 2, r.typeURL)
	for _, name := range r.subscribe {
		b = appendString(b, 3, name)
	}
	for _, name := range r.unsubscribe {
		b = appendString(b, 4, name)
	}
	for _, v := range r.initial {
		b = protowire.AppendTag(b, 5, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeOf(v.name)+sizeOf(v.version)))
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), v.name)
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), v.version)
	}
	if r.nonce != "" {
		b = appendString(b, 6, r.nonce)
	}
	return b
}

// sizeOf is that of a string as a field with a tag of one byte.
func sizeOf(s string) int { return 1 + protowire.SizeBytes(len(s)) }

func appendString(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// errWire is wrapped by errors of messages that are not what they should be.
var errWire = errors.New("malformed message")

// response is what is kept of a DeltaDiscoveryResponse.
type response struct {
	typeURL string
	nonce   string
	removed []uint32
	// resources are in the order in which they came.
	resources []resource
	bytes     int
}

// resource is what is kept of one: its name and version, and what it refers to.
type resource struct {
	name    uint32
	version string
	refs    *references // nil for none
}

// decoder reads responses, in parts, so that no more than one resource is held at a time. It
// is one client's.
type decoder struct {
	shared *Shared
	buffer []byte // of the part that is being read
}

// read reads the response of size bytes that comes next.
func (d *decoder) read(r *bufio.Reader, size int) (response, error) {
	out := response{bytes: size}
	left := size
	for left > 0 {
		tag, n, err := varint(r)
		if err != nil {
			return out, err
		}
		left -= n
		field, kind := protowire.DecodeTag(tag)
		switch kind {
		case protowire.VarintType:
			if _, n, err = varint(r); err != nil {
				return out, err
			}
			left -= n
			continue
		case protowire.BytesType:
		default:
			return out, fmt.Errorf("%w: field %d of a response has wire type %d", errWire, field, kind)
		}
		length, n, err := varint(r)
		if err != nil {
			return out, err
		}
		left -= n
		if uint64(left) < length {
			return out, fmt.Errorf("%w: field %d of a response reaches beyond its end", errWire, field)
		}
		left -= int(length)
		part, err := d.part(r, int(length), field)
		if err != nil {
			return out, err
		}
		switch field {
		case 2:
			res, err := d.resource(part)
			if err != nil {
				return out, err
			}
			out.resources = append(out.resources, res)
		case 4:
			out.typeURL = d.shared.typeURL(part)
		case 5:
			out.nonce = string(part)
		case 6:
			out.removed = append(out.removed, d.shared.names.id(part))
		}
	}
	if left < 0 {
		return out, fmt.Errorf("%w: a response is longer than it says", errWire)
	}
	return out, nil
}

// keptBuffer is how large a buffer may be that is kept between responses.
const keptBuffer = 64 << 10

// part reads a field's bytes, which hold until the next one is read; those of a field that
// nobody reads are passed over.
func (d *decoder) part(r *bufio.Reader, length int, field protowire.Number) ([]byte, error) {
	switch field {
	case 2, 4, 5, 6:
	default:
		_, err := r.Discard(length)
		return nil, err
	}
	// What lies in the reader's buffer need not be copied.
	if length <= r.Size() {
		part, err := r.Peek(length)
		if err != nil {
			return nil, unexpected(err)
		}
		_, err = r.Discard(length)
		return part, err
	}
	if cap(d.buffer) < length {
		d.buffer = make([]byte, length)
	}
	_, err := io.ReadFull(r, d.buffer[:length])
	return d.buffer[:length], unexpected(err)
}

// done lets go of what was only for one response.
func (d *decoder) done() {
	if cap(d.buffer) > keptBuffer {
		d.buffer = nil
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func varint(r *bufio.Reader) (v uint64, n int, err error) {
	for shift := 0; shift < 64; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, n, unexpected(err)
		}
		n++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, n, nil
		}
	}
	return 0, n, fmt.Errorf("%w: a number has more than 64 bits", errWire)
}

// resource reads a Resource.
func (d *decoder) resource(b []byte) (resource, error) {
	var res resource
	var typeURL, value []byte
	err := fields(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 1:
			res.version = d.shared.version(v)
		case 2:
			return fields(v, func(field protowire.Number, v []byte) error {
				switch field {
				case 1:
					typeURL = v
				case 2:
					value = v
				}
				return nil
			})
		case 3:
			res.name = d.shared.names.id(v)
		}
		return nil
	})
	if err != nil {
		return res, err
	}
	if res.name == 0 {
		return res, fmt.Errorf("%w: a resource has no name", errWire)
	}
	res.refs, err = d.shared.references(string(typeURL), value)
	return res, err
}

// fields calls visit with each field of a message that has a length.
func fields(b []byte, visit func(field protowire.Number, value []byte) error) error {
	return scan(b, visit, func(protowire.Number, uint64) {})
}

// scan calls visit with each field that has a length, and number with each that is a number.
func scan(b []byte, visit func(field protowire.Number, value []byte) error, number func(field protowire.Number, value uint64)) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errWire, protowire.ParseError(n))
		}
		b = b[n:]
		switch kind {
		case protowire.BytesType:
			value, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return fmt.Errorf("%w: field %d: %w", errWire, field, protowire.ParseError(n))
			}
			if err := visit(field, value); err != nil {
				return err
			}
			b = b[n:]
		case protowire.VarintType:
			value, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return fmt.Errorf("%w: field %d: %w", errWire, field, protowire.ParseError(n))
			}
			number(field, value)
			b = b[n:]
		default:
			n := protowire.ConsumeFieldValue(field, kind, b)
			if n < 0 {
				return fmt.Errorf("%w: field %d: %w", errWire, field, protowire.ParseError(n))
			}
			b = b[n:]
		}
	}
	return nil
}
