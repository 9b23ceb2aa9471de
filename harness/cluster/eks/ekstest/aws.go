package ekstest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Steps is how often a thing must be asked for until it has been made or deleted, unless
// AWS.Steps says otherwise.
const Steps = 2

// Nodes are where node groups get their nodes.
type Nodes interface {
	// Endpoint is the API server's URL and Authority its certificate authority (PEM).
	Endpoint() string
	Authority() []byte
	// SetGroup makes the nodes of a node group so many, of a type, with labels.
	SetGroup(ctx context.Context, group, instanceType string, count int, labels map[string]string) error
}

// AWS is a proxy before moto. Set its fields before it is used.
type AWS struct {
	// URL is where it answers, for AWS_ENDPOINT_URL.
	URL string
	// Nodes are where node groups get their nodes.
	Nodes Nodes
	// Steps is how often a thing must be asked for until it has been made or deleted.
	Steps int
	// Versions are what EKS offers, 1.30, with what it says of their support.
	Versions map[string]string
	// Quota are the vCPUs that the account may have.
	Quota float64
	// Types are the instance types of the region; nil for moto's.
	Types []string
	// Addons are those that EKS has.
	Addons []string
	// Broken says, by kind/name, which things fail while they are made, and why: a code of a
	// health issue and its message. A name may end with *.
	Broken map[string][2]string
	// Before, if set, is called before each call is answered.
	Before func(call string)

	moto   string
	server *httptest.Server

	mu       sync.Mutex
	calls    []string
	failures map[string]Failure
	making   map[string]int // by kind/path: how often it is still to be asked for
	deleting map[string]int
	addons   map[string]map[string]any // by cluster/name
	updates  map[string]int
	ended    []string // instances
}

// Failure is what a call is answered with.
type Failure struct {
	Status        int
	Code, Message string
	// Times is how often; 0 for always.
	Times int
}

// New starts a proxy.
func New(moto *Moto, nodes Nodes) *AWS {
	a := &AWS{
		Nodes: nodes, Steps: Steps, Quota: 640, Addons: []string{"vpc-cni", "metrics-server"}, moto: moto.URL,
		Versions: map[string]string{"1.29": "EXTENDED_SUPPORT", "1.30": "EXTENDED_SUPPORT", "1.31": "STANDARD_SUPPORT", "1.32": "STANDARD_SUPPORT", "1.28": "UNSUPPORTED"},
		failures: map[string]Failure{}, making: map[string]int{}, deleting: map[string]int{},
		addons: map[string]map[string]any{}, updates: map[string]int{},
	}
	a.server = httptest.NewServer(a)
	a.URL = a.server.URL
	return a
}

// Close ends it.
func (a *AWS) Close() { a.server.Close() }

// Fail answers a call, eks:CreateCluster, with a failure; one without a code heals it.
func (a *AWS) Fail(call string, f Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.Code == "" {
		delete(a.failures, call)
		return
	}
	a.failures[call] = f
}

// Calls are the calls so far, each once, sorted.
func (a *AWS) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := slices.Clone(a.calls)
	slices.Sort(calls)
	return slices.Compact(calls)
}

// Forget forgets the calls so far.
func (a *AWS) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = nil
}

// Ended are the instances that were ended one by one.
func (a *AWS) Ended() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.ended)
}

// AddonsLeft names the add-ons there are, as cluster/name.
func (a *AWS) AddonsLeft() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var left []string
	for name := range a.addons {
		left = append(left, name)
	}
	return left
}

// The calls of EKS's REST API by method and path.
var routes = []struct {
	method string
	path   *regexp.Regexp
	call   string
}{
	{"POST", regexp.MustCompile(`^/clusters$`), "CreateCluster"},
	{"GET", regexp.MustCompile(`^/clusters$`), "ListClusters"},
	{"GET", regexp.MustCompile(`^/cluster-versions$`), "DescribeClusterVersions"},
	{"GET", regexp.MustCompile(`^/addons/supported-versions$`), "DescribeAddonVersions"},
	{"GET", regexp.MustCompile(`^/clusters/([^/]+)$`), "DescribeCluster"},
	{"DELETE", regexp.MustCompile(`^/clusters/([^/]+)$`), "DeleteCluster"},
	{"POST", regexp.MustCompile(`^/clusters/([^/]+)/node-groups$`), "CreateNodegroup"},
	{"GET", regexp.MustCompile(`^/clusters/([^/]+)/node-groups$`), "ListNodegroups"},
	{"GET", regexp.MustCompile(`^/clusters/([^/]+)/node-groups/([^/]+)$`), "DescribeNodegroup"},
	{"DELETE", regexp.MustCompile(`^/clusters/([^/]+)/node-groups/([^/]+)$`), "DeleteNodegroup"},
	{"POST", regexp.MustCompile(`^/clusters/([^/]+)/node-groups/([^/]+)/update-config$`), "UpdateNodegroupConfig"},
	{"GET", regexp.MustCompile(`^/clusters/([^/]+)/updates/([^/]+)$`), "DescribeUpdate"},
	{"POST", regexp.MustCompile(`^/clusters/([^/]+)/addons$`), "CreateAddon"},
	{"GET", regexp.MustCompile(`^/clusters/([^/]+)/addons$`), "ListAddons"},
	{"GET", regexp.MustCompile(`^/clusters/([^/]+)/addons/([^/]+)$`), "DescribeAddon"},
	{"DELETE", regexp.MustCompile(`^/clusters/([^/]+)/addons/([^/]+)$`), "DeleteAddon"},
}

// call is a request in AWS's terms.
type call struct {
	service, action string
	body            []byte
	// path are the names in the path of a call of EKS.
	path []string
}

var scope = regexp.MustCompile(`Credential=[^/]+/[0-9]+/[^/]+/([^/]+)/`)

// read finds out what is called.
func read(r *http.Request) (call, error) {
	c := call{}
	if m := scope.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		c.service = m[1]
	}
	var err error
	if c.body, err = io.ReadAll(r.Body); err != nil {
		return c, err
	}
	r.Body = io.NopCloser(bytes.NewReader(c.body))
	target := r.Header.Get("X-Amz-Target")
	switch {
	case c.service == "eks":
		for _, route := range routes {
			if m := route.path.FindStringSubmatch(r.URL.EscapedPath()); m != nil && route.method == r.Method {
				c.action = route.call
				for _, name := range m[1:] {
					plain, err := url.PathUnescape(name)
					if err != nil {
						return c, err
					}
					c.path = append(c.path, plain)
				}
			}
		}
	case target != "":
		c.action = target[strings.LastIndexByte(target, '.')+1:]
	case strings.Contains(r.Header.Get("Content-Type"), "form"):
		form, err := url.ParseQuery(string(c.body))
		if err != nil {
			return c, err
		}
		c.action = form.Get("Action")
	}
	if c.service == "" || c.action == "" {
		return c, fmt.Errorf("what is called by %s %s (service %q)", r.Method, r.URL, c.service)
	}
	return c, nil
}

// ServeHTTP answers a call of AWS's API.
func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := read(r)
	if err != nil {
		http.Error(w, "the proxy of the test does not know: "+err.Error(), http.StatusNotImplemented)
		return
	}
	name := c.service + ":" + c.action
	if a.Before != nil {
		a.Before(name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, name)
	if f, ok := a.failures[name]; ok {
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				delete(a.failures, name)
			} else {
				a.failures[name] = f
			}
		}
		refuse(w, c, f)
		return
	}
	switch c.service {
	case "eks":
		a.eks(w, r, c)
	case "servicequotas":
		answer(w, map[string]any{"Quota": map[string]any{"Value": a.Quota}})
	case "autoscaling":
		form, _ := url.ParseQuery(string(c.body))
		a.ended = append(a.ended, form.Get("InstanceId"))
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprintf(w, `<%[1]sResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><%[1]sResult/></%[1]sResponse>`, c.action)
	case "ec2":
		if c.action == "DescribeInstanceTypeOfferings" && a.Types != nil {
			offer(w, a.Types)
			return
		}
		a.forward(w, r, c.body)
	default:
		a.forward(w, r, c.body)
	}
}

// offer tells the instance types of a region.
func offer(w http.ResponseWriter, types []string) {
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprint(w, `<DescribeInstanceTypeOfferingsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><instanceTypeOfferingSet>`)
	for _, t := range types {
		fmt.Fprintf(w, `<item><instanceType>%s</instanceType><location>us-east-1a</location><locationType>availability-zone</locationType></item>`, t)
	}
	fmt.Fprint(w, `</instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>`)
}

// refuse answers with a failure in the service's protocol.
func refuse(w http.ResponseWriter, c call, f Failure) {
	if f.Status == 0 {
		f.Status = http.StatusBadRequest
	}
	switch c.service {
	case "eks", "servicequotas":
		w.Header().Set("X-Amzn-ErrorType", f.Code)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": f.Code, "message": f.Message})
	case "ec2":
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, `<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>x</RequestID></Response>`, f.Code, f.Message)
	default:
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>x</RequestId></ErrorResponse>`, f.Code, f.Message)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// reply is what moto answered.
type reply struct {
	status int
	header http.Header
	text   []byte
}

// ask sends a request on to moto.
func (a *AWS) ask(r *http.Request, method string, body []byte) (reply, error) {
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), method, a.moto+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, text}, err
}

// forward lets moto answer.
func (a *AWS) forward(w http.ResponseWriter, r *http.Request, body []byte) {
	said, err := a.ask(r, r.Method, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	said.pass(w)
}

// pass passes a reply on as it is.
func (said reply) pass(w http.ResponseWriter) {
	for name, values := range said.header {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(said.status)
	_, _ = w.Write(said.text)
}
