package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshbench/meshbench/internal/standin"
	"github.com/meshbench/meshbench/internal/standin/server"
)

var self = standin.Self{Namespace: "ns1", Pod: "reviews-v2-0", Workload: "reviews-v2", Labels: map[string]string{"version": "v2"}}

// start serves a configuration until the test ends, or stop is called, and returns the address.
func start(t *testing.T, config string) (address string, stop func() error) {
	t.Helper()
	c, err := standin.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, c, self, []net.Listener{l}) }()
	stop = func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() { stop() })
	return l.Addr().String(), stop
}

func get(t *testing.T, client *http.Client, url string, header http.Header) (*http.Response, server.Answer) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var a server.Answer
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	response.ContentLength = int64(len(body))
	return response, a
}

func TestHTTP(t *testing.T) {
	address, _ := start(t, "{status: 418, headers: {x-kind: tea}, size: 2048}")
	plain := &http.Client{}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	two := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	for protocol, client := range map[string]*http.Client{"HTTP/1.1": plain, "HTTP/2.0": two} {
		g := NewWithT(t)
		response, a := get(t, client, "http://"+address+"/a?b=c", http.Header{"X-Forwarded-Client-Cert": {"By=a", "By=b"}})
		g.Expect(response.StatusCode).To(Equal(418))
		g.Expect(response.Header.Get("X-Kind")).To(Equal("tea"))
		g.Expect(response.Header.Get("X-Stand-In")).To(Equal("ns1/reviews-v2-0"))
		g.Expect(response.ContentLength).To(BeEquivalentTo(2048))
		g.Expect(a.Self).To(Equal(self))
		g.Expect(a.Protocol).To(Equal(protocol))
		g.Expect(a.Path).To(Equal("/a?b=c"))
		g.Expect(a.Host).To(Equal(address))
		g.Expect(fmt.Sprint(a.Port)).To(Equal(address[strings.LastIndex(address, ":")+1:]))
		g.Expect(a.Headers).To(HaveKeyWithValue("x-forwarded-client-cert", "By=a,By=b"))
		client.CloseIdleConnections()
	}

	g := NewWithT(t)
	response, err := plain.Post("http://"+address, "", strings.NewReader(strings.Repeat("x", 100_000)))
	g.Expect(err).NotTo(HaveOccurred())
	var a server.Answer
	g.Expect(json.NewDecoder(response.Body).Decode(&a)).To(Succeed())
	g.Expect(a.Received).To(BeEquivalentTo(100_000))
	g.Expect(a.Method).To(Equal("POST"))

	response, err = plain.Head("http://" + address)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.StatusCode).To(Equal(418))
	g.Expect(response.ContentLength).To(BeEquivalentTo(2048))
}

func TestProbesAreAnsweredWhateverTheConfigurationSays(t *testing.T) {
	g := NewWithT(t)
	address, _ := start(t, "{status: 503, delay: 30s}")
	response, err := http.Get("http://" + address + "/healthz")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.StatusCode).To(Equal(200))
	r, _ := http.NewRequest(http.MethodGet, "http://"+address+"/anything", nil)
	r.Header.Set("User-Agent", "kube-probe/1.35")
	response, err = http.DefaultClient.Do(r)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.StatusCode).To(Equal(200))
}

func TestCalls(t *testing.T) {
	g := NewWithT(t)
	ratings, _ := start(t, "{size: 500}")
	text := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(502)
		w.Write([]byte("no route"))
	}))
	defer text.Close()
	long := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), 1<<20+1))
	}))
	defer long.Close()
	reviews, _ := start(t, fmt.Sprintf("{calls: ['http://%s/ratings/0', '%s', '%s', 'http://127.0.0.1:1/', 'http://%s/'], timeout: 5s}", ratings, text.URL, long.URL, ratings))
	_, a := get(t, http.DefaultClient, "http://"+reviews, http.Header{"X-Request-Id": {"r1"}, "End-User": {"jason"}, "X-B3-Traceid": {"t1"}, "X-Other": {"o"}})
	g.Expect(a.Calls).To(HaveLen(5))
	g.Expect(a.Calls[0].Status).To(Equal(200))
	var nested server.Answer
	g.Expect(json.Unmarshal(a.Calls[0].Answer, &nested)).To(Succeed())
	g.Expect(nested.Path).To(Equal("/ratings/0"))
	g.Expect(nested.Headers).To(And(HaveKeyWithValue("x-request-id", "r1"), HaveKeyWithValue("end-user", "jason"),
		HaveKeyWithValue("x-b3-traceid", "t1"), Not(HaveKey("x-other"))))
	g.Expect(a.Calls[1]).To(Equal(server.Call{URL: text.URL, Status: 502, Text: "no route"}))
	g.Expect(a.Calls[2].Error).To(Equal("the answer is longer than 1048576 bytes and is left out"))
	g.Expect(a.Calls[3].Error).To(ContainSubstring("connection refused"))
	g.Expect(a.Calls[3].Status).To(BeZero())
}

func TestCallsInACircleEnd(t *testing.T) {
	g := NewWithT(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	c, err := standin.Parse("calls: ['http://" + l.Addr().String() + "/']")
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Serve(ctx, c, self, []net.Listener{l}) }()
	response, err := http.Get("http://" + l.Addr().String())
	g.Expect(err).NotTo(HaveOccurred())
	body, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(body)).To(ContainSubstring(`"status":508,"text":"16 stand-ins have called one another`))
	cancel()
	g.Expect(<-done).To(Succeed())
}

func TestTCP(t *testing.T) {
	address, stop := start(t, "")
	for name, parts := range map[string][]string{
		"bytes":                  {"\x00\x01\x02"},
		"begins like a method":   {"GE", "X and more"},
		"stops within a method":  {"GET"},
		"a method of another":    {"GETS are not HTTP"},
		"many bytes, a fragment": {"f", strings.Repeat("x", 100_000)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			conn, err := net.Dial("tcp", address)
			g.Expect(err).NotTo(HaveOccurred())
			defer conn.Close()
			go func() {
				for _, part := range parts {
					conn.Write([]byte(part))
					time.Sleep(time.Millisecond)
				}
			}()
			got := make([]byte, len(strings.Join(parts, "")))
			_, err = io.ReadFull(conn, got)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(got)).To(Equal(strings.Join(parts, "")))
		})
	}
	g := NewWithT(t)
	conn, err := net.Dial("tcp", address)
	g.Expect(err).NotTo(HaveOccurred())
	conn.Write([]byte("hello"))
	io.ReadFull(conn, make([]byte, 5))
	g.Expect(stop()).To(Succeed())
	_, err = conn.Read(make([]byte, 1))
	g.Expect(err).To(HaveOccurred(), "an echo goes on after the end")
}

// TestGRPC asks with gRPC's own client.
func TestGRPC(t *testing.T) {
	g := NewWithT(t)
	ctx := t.Context()
	dial := func(config string) *grpc.ClientConn {
		address, _ := start(t, config)
		conn, err := grpc.NewClient("passthrough:"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	conn := dial("headers: {x-version: v2}")
	sent := wrapperspb.Bytes(bytes.Repeat([]byte("abc"), 100_000))
	for name, options := range map[string][]grpc.CallOption{"plain": nil, "compressed": {grpc.UseCompressor(gzip.Name)}} {
		got, header := new(wrapperspb.BytesValue), metadata.MD{}
		g.Expect(conn.Invoke(ctx, "/any.Service/Method", sent, got, append(options, grpc.Header(&header))...)).To(Succeed(), name)
		g.Expect(got.Value).To(Equal(sent.Value), name)
		g.Expect(header.Get("x-version")).To(Equal([]string{"v2"}), name)
		g.Expect(header.Get("x-stand-in")).To(Equal([]string{"ns1/reviews-v2-0"}), name)
	}
	health, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(health.Status).To(Equal(healthpb.HealthCheckResponse_SERVING))

	err = conn.Invoke(ctx, "/any.Service/Method", wrapperspb.Bytes(make([]byte, 4<<20+1)), new(wrapperspb.BytesValue))
	g.Expect(status.Code(err)).To(Equal(codes.ResourceExhausted))
	for http, want := range map[int]codes.Code{400: codes.Internal, 401: codes.Unauthenticated, 403: codes.PermissionDenied,
		404: codes.Unimplemented, 429: codes.Unavailable, 500: codes.Unknown, 503: codes.Unavailable} {
		err := dial(fmt.Sprintf("status: %d", http)).Invoke(ctx, "/a/b", sent, new(wrapperspb.BytesValue))
		g.Expect(status.Code(err)).To(Equal(want), "status %d", http)
	}
}

// TestEnd checks that a request under way is answered after the signal, and that the port is
// free meanwhile.
func TestEnd(t *testing.T) {
	g := NewWithT(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	called := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	defer called.Close()
	address, stop := start(t, "calls: ['"+called.URL+"']")
	answered := make(chan int, 1)
	go func() {
		response, err := http.Get("http://" + address)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		answered <- response.StatusCode
	}()
	<-arrived
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	g.Eventually(func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	}).WithTimeout(time.Minute).Should(HaveOccurred())
	close(release)
	g.Expect(<-answered).To(Equal(200))
	g.Expect(<-stopped).To(Succeed())
	l, err := net.Listen("tcp", address)
	g.Expect(err).NotTo(HaveOccurred())
	port := l.Addr().(*net.TCPAddr).Port
	g.Expect(server.Run(t.Context(), standin.Defaults(), self, []int{port})).
		To(MatchError(ContainSubstring(fmt.Sprintf("listen on port %d", port))))
	l.Close()
}
