package alias

import (
	"strings"
	"sync"
)

// public reports whether a word is one of the APIs, of HTTP or of English as they use it, or a
// name that Kubernetes and Istio give their own objects.
func public(word string) bool { return vocabulary()[word] }

// vocabulary are those words.
var vocabulary = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for word := range strings.FieldsSeq(publicWords) {
		known[word] = true
	}
	for _, p := range protocols() {
		known[p] = true
	}
	return known
})

const publicWords = `
	true false yes no on off none null auto default any all

	svc cluster local com net org io dev cloud internal example localhost in-addr arpa googleapis amazonaws azure gcr docker quay ghcr
	ns sa spiffe mesh

	kube-system kube-public kube-node-lease kubernetes kube-dns coredns kube-proxy metrics-server kube-apiserver kube-scheduler
	kube-controller-manager etcd cloud-controller-manager aws-node kindnet kindnetd local-path-provisioner local-path-storage calico-node cilium cilium-agent
	dns dns-tcp metrics kube-root-ca clusterfirst Helm helm k8s k8s-app registry

	istio istiod istio-system pilot discovery istio-proxy istio-init istio-validation proxyv2 istio-ingressgateway istio-egressgateway
	ingressgateway egressgateway istio-ingress istio-egress istio-cni istio-cni-node install-cni ztunnel istio-ca istio-gateway gateway gateways sidecar waypoint
	grpc-simple grpc-agent kube-gateway istio-waypoint istio-remote istio-ca-root-cert istio-sidecar-injector istio-injection istio-locality istio-revision-tag
	istio-policy istio-telemetry istio-citadel istio-galley prometheus zipkin jaeger kiali grafana stackdriver opentelemetry otel envoy datadog lightstep skywalking
	enabled disabled enable disable warning info debug error trace critical
	rev rev-tag canonical-name canonical-revision inject
	ISTIO_MUTUAL

	GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH
	host authority method path scheme status cookie set-cookie user-agent content-type content-length accept authorization origin referer location
	accept-encoding accept-language cache-control connection date server via etag vary age
	x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-client-cert x-request-id x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled x-b3-flags
	x-envoy-attempt-count x-envoy-decorator-operation x-envoy-external-address x-envoy-internal x-envoy-original-path x-envoy-peer-metadata x-envoy-peer-metadata-id
	x-envoy-upstream-service-time x-envoy-upstream-rq-timeout-ms x-envoy-retry-on x-envoy-max-retries b3 traceparent tracestate x-real-ip x-user-agent
	Bearer bearer basic Basic jwt Origin Location
	gateway-error connect-failure refused-stream reset retriable-4xx retriable-status-codes unavailable cancelled deadline-exceeded internal-error resource-exhausted
	reset-before-request envoy-ratelimited http3-post-connect-failure

	request headers source destination ip port namespace principal principals auth claims audiences presenter sni labels experimental filters
	remote requested_server_name

	stdout stderr tmp etc var run secrets certs tls ssl stats ready healthz livez readyz health live app-health oci file inline remote cert-chain pem crt cacert key root-cert ca

	outbound inbound outbound_ inbound_ BlackHoleCluster PassthroughCluster InboundPassthroughCluster virtualInbound virtualOutbound
	GoogleRE2
	fips-140-2 fips-140-3

	app version name instance component part-of managed-by tier role release chart heritage service track env
	created-by kubernetes-service
	status-port admin ssh

	reporter source_workload source_workload_namespace source_canonical_service source_canonical_revision source_principal source_app source_version source_cluster
	destination_workload destination_workload_namespace destination_canonical_service destination_canonical_revision destination_principal destination_app
	destination_version destination_cluster destination_service destination_service_name destination_service_namespace request_protocol request_host request_method
	request_operation response_code response_flags grpc_response_status connection_security_policy
	hosts paths methods ports url uri urls
`
