package rights

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Subject is who a user name stands for: the account of system:serviceaccount:NAMESPACE:NAME,
// else a user.
func Subject(user string) rbacv1.Subject {
	if parts := strings.Split(user, ":"); len(parts) == 4 && parts[0] == "system" && parts[1] == "serviceaccount" {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: parts[2], Name: parts[3]}
	}
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}
}

// Manifest is YAML that grants rights to a subject, for kubectl apply -f -: a ClusterRole
// with its binding and, for what is needed in one namespace alone, a Role there with its
// own. All are called name. The comment stands at the top, one line each, and above each role
// what its rights are for.
func Manifest(name string, needed []Right, to rbacv1.Subject, comment ...string) ([]byte, error) {
	var text bytes.Buffer
	for _, line := range comment {
		fmt.Fprintf(&text, "# %s\n", line)
	}
	byNamespace := map[string][]Right{}
	for _, r := range needed {
		byNamespace[r.Namespace] = append(byNamespace[r.Namespace], r)
	}
	var namespaces []string
	for namespace := range byNamespace {
		namespaces = append(namespaces, namespace)
	}
	slices.Sort(namespaces)
	for _, namespace := range namespaces {
		meta := metav1.ObjectMeta{Name: name, Namespace: namespace}
		kind := "ClusterRole"
		if namespace != "" {
			kind = "Role"
		}
		type object struct {
			metav1.TypeMeta `json:",inline"`
			Metadata        map[string]string   `json:"metadata"`
			Rules           []rbacv1.PolicyRule `json:"rules,omitempty"`
			RoleRef         *rbacv1.RoleRef     `json:"roleRef,omitempty"`
			Subjects        []rbacv1.Subject    `json:"subjects,omitempty"`
		}
		of := func(kind string) object {
			o := object{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind}, Metadata: map[string]string{"name": meta.Name}}
			if meta.Namespace != "" {
				o.Metadata["namespace"] = meta.Namespace
			}
			return o
		}
		role, binding := of(kind), of(kind+"Binding")
		role.Rules = rules(byNamespace[namespace])
		binding.RoleRef = &rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
		binding.Subjects = []rbacv1.Subject{to}
		for _, o := range []object{role, binding} {
			data, err := yaml.Marshal(o)
			if err != nil {
				return nil, fmt.Errorf("write the manifest of rights: %w", err)
			}
			text.WriteString("---\n")
			if o.Rules != nil {
				for _, r := range byNamespace[namespace] {
					fmt.Fprintf(&text, "# %s: %s\n", r, r.For)
				}
			}
			text.Write(data)
		}
	}
	return text.Bytes(), nil
}

// rules are policy rules, one for the resources of a group that need the same verbs.
func rules(needed []Right) []rbacv1.PolicyRule {
	var all []rbacv1.PolicyRule
	for _, r := range needed {
		i := slices.IndexFunc(all, func(p rbacv1.PolicyRule) bool {
			return p.APIGroups[0] == r.Group && slices.Equal(p.Verbs, r.Verbs)
		})
		if i < 0 {
			all = append(all, rbacv1.PolicyRule{APIGroups: []string{r.Group}, Verbs: r.Verbs})
			i = len(all) - 1
		}
		all[i].Resources = append(all[i].Resources, r.Resource)
	}
	return all
}
