package advice

import (
	"slices"
	"strings"
)

type destination struct {
	Destination struct {
		Host string `json:"host"`
	} `json:"destination"`
}

type routes struct {
	Route   []destination `json:"route"`
	Mirror  *hostOnly     `json:"mirror"`
	Mirrors []destination `json:"mirrors"`
	// Delegate is another VirtualService, whose routes take this one's place.
	Delegate *struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"delegate"`
}

type hostOnly struct {
	Host string `json:"host"`
}

// virtualService is one as it stands there.
type virtualService struct {
	VirtualService
	mesh      bool
	delegates []string // NAMESPACE/NAME
}

func (r *reading) virtualService(i Item) {
	var o struct {
		Spec struct {
			Hosts    []string `json:"hosts"`
			Gateways []string `json:"gateways"`
			ExportTo []string `json:"exportTo"`
			HTTP     []routes `json:"http"`
			TCP      []routes `json:"tcp"`
			TLS      []routes `json:"tls"`
		} `json:"spec"`
	}
	i.Decode(&o)
	v := virtualService{
		VirtualService: VirtualService{Namespace: i.Namespace, Name: i.Name, ExportTo: o.Spec.ExportTo},
		mesh:           len(o.Spec.Gateways) == 0 || slices.Contains(o.Spec.Gateways, "mesh"),
	}
	for _, h := range o.Spec.Hosts {
		v.Hosts = append(v.Hosts, r.full(h, i.Namespace))
	}
	add := func(host string) {
		if host == "" {
			return
		}
		if host = r.full(host, i.Namespace); !slices.Contains(v.Destinations, host) {
			v.Destinations = append(v.Destinations, host)
		}
	}
	for _, route := range slices.Concat(o.Spec.HTTP, o.Spec.TCP, o.Spec.TLS) {
		for _, d := range append(route.Route, route.Mirrors...) {
			add(d.Destination.Host)
		}
		if route.Mirror != nil {
			add(route.Mirror.Host)
		}
		if d := route.Delegate; d != nil {
			ns := d.Namespace
			if ns == "" {
				ns = i.Namespace
			}
			v.delegates = append(v.delegates, ns+"/"+d.Name)
		}
	}
	r.virtual = append(r.virtual, v)
}

// full completes a short name, which is of the namespace of the object that names it.
func (r *reading) full(host, namespace string) string {
	if host = strings.ToLower(host); host == "*" || strings.Contains(host, ".") {
		return host
	}
	return host + "." + namespace + ".svc." + r.mesh.domain()
}

// finish puts delegates' destinations to those that they are delegates of, and leaves out what
// is not for sidecars.
func (r *reading) finish() {
	if len(r.mesh.Pods) == 0 {
		for _, p := range r.workloads {
			ns := r.mesh.Namespaces[p.Namespace]
			p.Proxy = p.Proxy && ns != nil && ns.Injected
			r.mesh.Pods = append(r.mesh.Pods, p)
		}
	}
	byName := map[string]*virtualService{}
	for i := range r.virtual {
		byName[r.virtual[i].Namespace+"/"+r.virtual[i].Name] = &r.virtual[i]
	}
	for _, v := range r.virtual {
		if !v.mesh || len(v.Hosts) == 0 { // a delegate has no hosts
			continue
		}
		for _, name := range v.delegates {
			if d := byName[name]; d != nil {
				for _, host := range d.Destinations {
					if !slices.Contains(v.Destinations, host) {
						v.Destinations = append(v.Destinations, host)
					}
				}
			}
		}
		r.mesh.Virtual = append(r.mesh.Virtual, v.VirtualService)
	}
	// What names a Service alone is found once all are known.
	for _, list := range [][]Reference{r.mesh.Providers, r.mesh.Filters} {
		for i := range list {
			if list[i].Namespace != "" {
				continue
			}
			for _, s := range r.mesh.Services {
				if s.Host == list[i].Host {
					list[i].Namespace = s.Namespace
					break
				}
			}
		}
	}
}
