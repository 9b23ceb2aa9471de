package existing

import "k8s.io/client-go/rest"

// Connect reads a kubeconfig by the rules of kubectl: the file that is named, else those of
// KUBECONFIG, else ~/.kube/config, else the account of the pod that this program runs in. name is
// the context's, "" inside a pod, and context "" is the kubeconfig's own. Nothing is asked of the
// cluster; errors say what is wrong with the credentials as far as the machine knows.
func Connect(kubeconfig, context string) (config *rest.Config, name string, err error) {
	t, err := findTarget(kubeconfig, context)
	if err != nil {
		return nil, "", err
	}
	return t.config, t.context, nil
}
