package ekstest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kinds are those that objects can be applied of, by the path of their group and version.
var kinds = map[string][]metav1.APIResource{
	"/api/v1":                            {{Name: "serviceaccounts", Kind: "ServiceAccount", Namespaced: true}, {Name: "services", Kind: "Service", Namespaced: true}},
	"/apis/apps/v1":                      {{Name: "deployments", Kind: "Deployment", Namespaced: true}},
	"/apis/rbac.authorization.k8s.io/v1": {{Name: "clusterroles", Kind: "ClusterRole"}, {Name: "clusterrolebindings", Kind: "ClusterRoleBinding"}, {Name: "rolebindings", Kind: "RoleBinding", Namespaced: true}},
	"/apis/apiregistration.k8s.io/v1":    {{Name: "apiservices", Kind: "APIService"}},
}

// Objects are the paths of the objects that were applied and not deleted.
func (k *Kube) Objects() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var paths []string
	for path := range k.objects {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// serveObjects answers for discovery and for objects that were applied; false for all else.
func (k *Kube) serveObjects(w http.ResponseWriter, r *http.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	path := r.URL.Path
	text, applied := k.objects[path]
	switch {
	case path == "/api":
		answer(w, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case path == "/apis":
		answer(w, groups())
	case kinds[path] != nil:
		version := strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/")
		answer(w, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version, APIResources: kinds[path]})
	case r.Method == http.MethodPatch:
		text, _ := io.ReadAll(r.Body)
		k.objects[path] = text
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	case r.Method == http.MethodDelete && applied:
		delete(k.objects, path)
		answer(w, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Success"})
	case applied && strings.Contains(path, "/deployments/"):
		var d appsv1.Deployment
		_ = json.Unmarshal(text, &d)
		d.Status.AvailableReplicas = 1
		answer(w, d)
	default:
		return false
	}
	return true
}

// groups are those of kinds.
func groups() metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for path := range kinds {
		version, ok := strings.CutPrefix(path, "/apis/")
		if !ok {
			continue
		}
		name, v, _ := strings.Cut(version, "/")
		served := metav1.GroupVersionForDiscovery{GroupVersion: version, Version: v}
		list.Groups = append(list.Groups, metav1.APIGroup{Name: name, Versions: []metav1.GroupVersionForDiscovery{served}, PreferredVersion: served})
	}
	return list
}
