package ekstest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// eks answers a call of EKS's.
func (a *AWS) eks(w http.ResponseWriter, r *http.Request, c call) {
	switch c.action {
	case "DescribeClusterVersions":
		var all []any
		for version, support := range a.Versions {
			all = append(all, map[string]any{"clusterVersion": version, "versionStatus": support})
		}
		answer(w, map[string]any{"clusterVersions": all})
	case "DescribeAddonVersions":
		found := []any{}
		if name := r.URL.Query().Get("addonName"); slices.Contains(a.Addons, name) {
			found = append(found, map[string]any{"addonName": name})
		}
		answer(w, map[string]any{"addons": found})
	case "CreateCluster":
		a.create(w, r, c, "cluster", named(c.body, "name"))
	case "DescribeCluster":
		a.described(w, r, "cluster", c.path[0])
	case "DeleteCluster":
		a.remove(w, r, c, "cluster", c.path[0])
	case "CreateNodegroup":
		a.create(w, r, c, "nodegroup", c.path[0]+"/"+named(c.body, "nodegroupName"))
	case "DescribeNodegroup":
		a.described(w, r, "nodegroup", c.path[0]+"/"+c.path[1])
	case "DeleteNodegroup":
		a.remove(w, r, c, "nodegroup", c.path[0]+"/"+c.path[1])
	case "UpdateNodegroupConfig":
		a.update(w, r, c)
	case "DescribeUpdate":
		status := "Successful"
		if a.updates[c.path[1]]--; a.updates[c.path[1]] >= 0 {
			status = "InProgress"
		}
		answer(w, map[string]any{"update": map[string]any{"id": c.path[1], "status": status}})
	case "CreateAddon", "ListAddons", "DescribeAddon", "DeleteAddon":
		a.addon(w, c)
	default:
		a.forward(w, r, c.body)
	}
}

func named(body []byte, field string) string {
	var fields map[string]any
	_ = json.Unmarshal(body, &fields) // moto refuses what is none
	name, _ := fields[field].(string)
	return name
}

// broken is the issue of a thing that cannot be made; "" for none.
func (a *AWS) broken(kind, name string) (code, message string) {
	for pattern, issue := range a.Broken {
		if ok, _ := path.Match(pattern, kind+"/"+path.Base(name)); ok {
			return issue[0], issue[1]
		}
	}
	return "", ""
}

// create has moto make a thing, which is then on its way for a while.
func (a *AWS) create(w http.ResponseWriter, r *http.Request, c call, kind, name string) {
	said, err := a.ask(r, r.Method, c.body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if said.status == http.StatusOK {
		a.making[kind+"/"+name] = a.Steps
	}
	a.tell(w, r, said, kind, name)
}

// described tells how a thing is, which is one step more on its way.
func (a *AWS) described(w http.ResponseWriter, r *http.Request, kind, name string) {
	key := kind + "/" + name
	if left, going := a.deleting[key]; going {
		if left == 0 {
			delete(a.deleting, key)
			a.gone(r, kind, name)
		} else {
			a.deleting[key]--
		}
	}
	if a.making[key] > 0 {
		a.making[key]--
	}
	said, err := a.ask(r, http.MethodGet, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	a.tell(w, r, said, kind, name)
}

// tell passes on what moto says of a thing, with the status that is played.
func (a *AWS) tell(w http.ResponseWriter, r *http.Request, from reply, kind, name string) {
	var said map[string]map[string]any
	if from.status != http.StatusOK || json.Unmarshal(from.text, &said) != nil {
		from.pass(w)
		return
	}
	thing := said[kind]
	key := kind + "/" + name
	code, message := a.broken(kind, name)
	switch _, going := a.deleting[key]; {
	case going:
		thing["status"] = "DELETING"
	case a.making[key] > 0:
		thing["status"] = "CREATING"
	case code != "":
		thing["status"] = map[string]string{"cluster": "FAILED", "nodegroup": "CREATE_FAILED"}[kind]
		thing["health"] = map[string]any{"issues": []any{map[string]any{"code": code, "message": message, "resourceIds": []string{name}}}}
	case kind == "nodegroup":
		if err := a.setGroup(r, thing, name); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if kind == "cluster" {
		thing["endpoint"] = a.Nodes.Endpoint()
		thing["certificateAuthority"] = map[string]any{"data": base64.StdEncoding.EncodeToString(a.Nodes.Authority())}
	}
	answer(w, said)
}

// setGroup gives a node group its nodes.
func (a *AWS) setGroup(r *http.Request, group map[string]any, name string) error {
	scaling, _ := group["scalingConfig"].(map[string]any)
	size, _ := scaling["desiredSize"].(float64)
	types, _ := group["instanceTypes"].([]any)
	labels := map[string]string{}
	given, _ := group["labels"].(map[string]any)
	for k, v := range given {
		labels[k] = fmt.Sprint(v)
	}
	return a.Nodes.SetGroup(r.Context(), name, fmt.Sprint(types[0]), int(size), labels)
}

// remove begins to delete a thing. A cluster that is being made, or has node groups, cannot
// be deleted.
func (a *AWS) remove(w http.ResponseWriter, r *http.Request, c call, kind, name string) {
	key := kind + "/" + name
	if kind == "cluster" {
		busy := a.making[key] > 0
		if groups, err := a.list(r, name); err == nil {
			busy = busy || len(groups) > 0
		}
		if busy {
			if a.making[key] > 0 {
				a.making[key]--
			}
			refuse(w, c, Failure{Status: http.StatusConflict, Code: "ResourceInUseException", Message: "the cluster is being made, or has node groups"})
			return
		}
	}
	said, err := a.ask(r, http.MethodGet, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if _, going := a.deleting[key]; !going && said.status == http.StatusOK {
		a.deleting[key] = a.Steps
		delete(a.making, key)
	}
	a.tell(w, r, said, kind, name)
}

// list are the node groups of a cluster.
func (a *AWS) list(r *http.Request, cluster string) ([]string, error) {
	listing := r.Clone(r.Context())
	listing.URL.Path, listing.URL.RawPath, listing.URL.RawQuery = "/clusters/"+cluster+"/node-groups", "", ""
	said, err := a.ask(listing, http.MethodGet, nil)
	var found struct{ Nodegroups []string }
	if err == nil {
		err = json.Unmarshal(said.text, &found)
	}
	return found.Nodegroups, err
}

// gone has moto delete a thing at last.
func (a *AWS) gone(r *http.Request, kind, name string) {
	if kind == "nodegroup" {
		_ = a.Nodes.SetGroup(r.Context(), name, "", 0, nil) // the test sees what is left
	}
	_, _ = a.ask(r, http.MethodDelete, nil)
	if kind == "cluster" {
		for key := range a.addons {
			if strings.HasPrefix(key, name+"/") {
				delete(a.addons, key)
			}
		}
	}
}

// update changes the size of a node group.
func (a *AWS) update(w http.ResponseWriter, r *http.Request, c call) {
	said, err := a.ask(r, r.Method, c.body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if said.status != http.StatusOK {
		said.pass(w)
		return
	}
	id := fmt.Sprintf("update-%d", len(a.updates)+1)
	a.updates[id] = a.Steps
	answer(w, map[string]any{"update": map[string]any{"id": id, "status": "InProgress", "type": "ConfigUpdate"}})
}

// addon answers calls about add-ons.
func (a *AWS) addon(w http.ResponseWriter, c call) {
	if c.action == "ListAddons" {
		names := []string{}
		for key := range a.addons {
			if cluster, name, _ := strings.Cut(key, "/"); cluster == c.path[0] {
				names = append(names, name)
			}
		}
		answer(w, map[string]any{"addons": names})
		return
	}
	if c.action == "CreateAddon" {
		key := c.path[0] + "/" + named(c.body, "addonName")
		var given map[string]any
		_ = json.Unmarshal(c.body, &given)
		a.addons[key] = map[string]any{"addonName": given["addonName"], "clusterName": c.path[0], "tags": given["tags"], "configurationValues": given["configurationValues"]}
		a.making["addon/"+key] = a.Steps
	}
	name := named(c.body, "addonName")
	if len(c.path) > 1 {
		name = c.path[1]
	}
	key := c.path[0] + "/" + name
	found, ok := a.addons[key]
	if left, going := a.deleting["addon/"+key]; going && c.action == "DescribeAddon" {
		if left == 0 {
			delete(a.deleting, "addon/"+key)
			delete(a.addons, key)
			ok = false
		} else {
			a.deleting["addon/"+key]--
		}
	}
	if !ok {
		refuse(w, c, Failure{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "no add-on " + name})
		return
	}
	if c.action == "DeleteAddon" {
		a.deleting["addon/"+key] = a.Steps
	}
	if a.making["addon/"+key] > 0 && c.action == "DescribeAddon" {
		a.making["addon/"+key]--
	}
	code, message := a.broken("addon", name)
	_, going := a.deleting["addon/"+key]
	switch {
	case going:
		found["status"] = "DELETING"
	case a.making["addon/"+key] > 0:
		found["status"] = "CREATING"
	case code != "":
		found["status"] = "CREATE_FAILED"
		found["health"] = map[string]any{"issues": []any{map[string]any{"code": code, "message": message}}}
	default:
		found["status"] = "ACTIVE"
	}
	answer(w, map[string]any{"addon": found})
}
