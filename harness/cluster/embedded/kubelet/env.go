package kubelet

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubectl/pkg/util/fieldpath"
)

// virtual-kubelet can fill in a container's environment, but does so before the pod has
// an address and does not know status.podIP, status.hostIP and $(VAR) in arguments. So
// it is told not to, and the kubelet's rules are here.

// objects reads what pods refer to. Not-found errors are those of the API.
type objects interface {
	configMap(namespace, name string) (*corev1.ConfigMap, error)
	secret(namespace, name string) (*corev1.Secret, error)
	services() ([]*corev1.Service, error)
}

// environment is a container's variables, sorted, and its arguments, both with $(VAR)
// expanded. Later sources win, as in a kubelet: the image, Services, envFrom, env. The
// pod has its addresses in its status.
func environment(pod *corev1.Pod, container *corev1.Container, prog program, allocatable corev1.ResourceList, from objects) (env, args []string, err error) {
	services, err := from.services()
	if err != nil {
		return nil, nil, fmt.Errorf("list services for the environment: %w", err)
	}
	vars := serviceVariables(services, pod)
	for _, source := range container.EnvFrom {
		if err := addAll(vars, pod.Namespace, source, from); err != nil {
			return nil, nil, err
		}
	}
	for _, v := range container.Env {
		value, ok, err := value(v, vars, pod, container, allocatable, from)
		if err != nil {
			return nil, nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		if ok {
			vars[v.Name] = value
		}
	}
	for _, arg := range prog.args {
		args = append(args, expand(arg, vars))
	}

	all := map[string]string{
		"PATH":     "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME":     "/",
		"HOSTNAME": hostname(pod),
	}
	for _, v := range prog.Env {
		name, value, _ := strings.Cut(v, "=")
		all[name] = value
	}
	maps.Copy(all, vars)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env, args, nil
}

func hostname(pod *corev1.Pod) string {
	if pod.Spec.Hostname != "" {
		return pod.Spec.Hostname
	}
	return pod.Name
}

// addAll adds every key of a ConfigMap or Secret.
func addAll(vars map[string]string, namespace string, source corev1.EnvFromSource, from objects) error {
	switch {
	case source.ConfigMapRef != nil:
		m, err := from.configMap(namespace, source.ConfigMapRef.Name)
		if err != nil {
			return unlessOptional(source.ConfigMapRef.Optional, err)
		}
		for key, value := range m.Data {
			vars[source.Prefix+key] = value
		}
	case source.SecretRef != nil:
		s, err := from.secret(namespace, source.SecretRef.Name)
		if err != nil {
			return unlessOptional(source.SecretRef.Optional, err)
		}
		for key, value := range s.Data {
			vars[source.Prefix+key] = string(value)
		}
	}
	return nil
}

// unlessOptional forgives a missing object where it is optional.
func unlessOptional(optional *bool, err error) error {
	if optional != nil && *optional && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// value is a variable's value; it is not ok when an optional source is missing.
func value(v corev1.EnvVar, vars map[string]string, pod *corev1.Pod, container *corev1.Container, allocatable corev1.ResourceList, from objects) (_ string, ok bool, _ error) {
	switch source := v.ValueFrom; {
	case source == nil:
		return expand(v.Value, vars), true, nil
	case source.FieldRef != nil:
		value, err := field(pod, source.FieldRef.FieldPath)
		return value, true, err
	case source.ResourceFieldRef != nil:
		value, err := resourceField(source.ResourceFieldRef, pod, container, allocatable)
		return value, true, err
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		m, err := from.configMap(pod.Namespace, ref.Name)
		if err != nil {
			return "", false, unlessOptional(ref.Optional, err)
		}
		value, ok := m.Data[ref.Key]
		return value, ok, missingKey(ok, ref.Optional, "ConfigMap", ref.Name, ref.Key)
	case source.SecretKeyRef != nil:
		ref := source.SecretKeyRef
		s, err := from.secret(pod.Namespace, ref.Name)
		if err != nil {
			return "", false, unlessOptional(ref.Optional, err)
		}
		value, ok := s.Data[ref.Key]
		return string(value), ok, missingKey(ok, ref.Optional, "Secret", ref.Name, ref.Key)
	}
	return "", false, fmt.Errorf("the embedded cluster does not know this kind of source")
}

func missingKey(ok bool, optional *bool, kind, name, key string) error {
	if ok || optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("%s %s has no key %s", kind, name, key)
}

// field is the value of a field that the downward API offers.
func field(pod *corev1.Pod, fieldPath string) (string, error) {
	switch fieldPath {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return pod.Status.HostIP, nil
	case "status.hostIPs":
		var ips []string
		for _, ip := range pod.Status.HostIPs {
			ips = append(ips, ip.IP)
		}
		return strings.Join(ips, ","), nil
	case "status.podIP":
		return pod.Status.PodIP, nil
	case "status.podIPs":
		var ips []string
		for _, ip := range pod.Status.PodIPs {
			ips = append(ips, ip.IP)
		}
		return strings.Join(ips, ","), nil
	}
	return fieldpath.ExtractFieldPathAsString(pod, fieldPath)
}

// resourceField is a container's request or limit in units of the reference's divisor,
// rounded up. What has no limit is limited by the node.
func resourceField(ref *corev1.ResourceFieldSelector, pod *corev1.Pod, container *corev1.Container, allocatable corev1.ResourceList) (string, error) {
	if container == nil || ref.ContainerName != "" {
		all := slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
		n := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == ref.ContainerName })
		if n < 0 {
			return "", fmt.Errorf("no container %s", ref.ContainerName)
		}
		container = &all[n]
	}
	kind, name, _ := strings.Cut(ref.Resource, ".")
	var quantity resource.Quantity
	switch kind {
	case "limits":
		quantity = container.Resources.Limits[corev1.ResourceName(name)]
		if quantity.IsZero() {
			quantity = allocatable[corev1.ResourceName(name)]
		}
	case "requests":
		quantity = container.Resources.Requests[corev1.ResourceName(name)]
	default:
		return "", fmt.Errorf("resource %q is neither a limit nor a request", ref.Resource)
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = *resource.NewQuantity(1, resource.DecimalSI)
	}
	scale := resource.Scale(0)
	if name == string(corev1.ResourceCPU) {
		scale = resource.Milli
	}
	units := math.Ceil(float64(quantity.ScaledValue(scale)) / float64(divisor.ScaledValue(scale)))
	return strconv.FormatInt(int64(units), 10), nil
}

// expand replaces $(NAME) by the variable's value. $$ is one dollar sign, so $$(NAME) is
// the text $(NAME); a name that is not known stays as it is.
func expand(text string, vars map[string]string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		switch text[i+1] {
		case '$':
			out.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(text[i:], ')')
			if end < 0 {
				out.WriteByte('$')
				continue
			}
			reference := text[i : i+end+1]
			if value, ok := vars[reference[2:end]]; ok {
				out.WriteString(value)
			} else {
				out.WriteString(reference)
			}
			i += end
		default:
			out.WriteByte('$')
		}
	}
	return out.String()
}

// serviceVariables tell a pod of the Services of its namespace and, always, of the API
// server: NAME_SERVICE_HOST and _PORT, and those that Docker's links had.
func serviceVariables(services []*corev1.Service, pod *corev1.Pod) map[string]string {
	links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	vars := map[string]string{}
	for _, s := range services {
		isAPI := s.Namespace == corev1.NamespaceDefault && s.Name == "kubernetes"
		if !isAPI && (!links || s.Namespace != pod.Namespace) {
			continue
		}
		ip := s.Spec.ClusterIP
		if ip == "" || ip == corev1.ClusterIPNone || len(s.Spec.Ports) == 0 {
			continue
		}
		prefix := variableName(s.Name)
		vars[prefix+"_SERVICE_HOST"] = ip
		vars[prefix+"_SERVICE_PORT"] = strconv.Itoa(int(s.Spec.Ports[0].Port))
		for i, port := range s.Spec.Ports {
			number := strconv.Itoa(int(port.Port))
			if port.Name != "" {
				vars[prefix+"_SERVICE_PORT_"+variableName(port.Name)] = number
			}
			protocol := string(port.Protocol)
			if protocol == "" {
				protocol = string(corev1.ProtocolTCP)
			}
			url := strings.ToLower(protocol) + "://" + ip + ":" + number
			if i == 0 {
				vars[prefix+"_PORT"] = url
			}
			link := prefix + "_PORT_" + number + "_" + strings.ToUpper(protocol)
			vars[link] = url
			vars[link+"_PROTO"] = strings.ToLower(protocol)
			vars[link+"_PORT"] = number
			vars[link+"_ADDR"] = ip
		}
	}
	return vars
}

func variableName(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
