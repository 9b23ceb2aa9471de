package actions

import (
	"slices"
	"testing"

	"github.com/meshbench/meshbench/scenarios"
)

// One pod of each kind is found, whichever action or manifest makes it.
func TestFirstPods(t *testing.T) {
	s, err := scenarios.Load("s.yaml", []byte(`name: s
title: Pods of all kinds
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - namespace: {name: ns2}
      - deployment: {namespace: ns1, name: a, image: nginx}
      - deployment: {namespace: ns1, name: same, image: nginx, labels: {other: label}}
      - deployment: {namespace: ns2, name: plain, image: nginx}
      - statefulset: {namespace: ns1, name: b, image: redis, resources: {requests: {cpu: 50m}}}
      - cronjob: {namespace: ns2, name: c, image: busybox, schedule: "0 0 1 1 *", suspended: true}
      - apply:
          manifest: |
            apiVersion: v1
            kind: Pod
            metadata: {name: pod, namespace: ns2, labels: {a: b}}
            spec: {hostNetwork: true, containers: [{name: x, image: pod}]}
            ---
            apiVersion: batch/v1
            kind: CronJob
            metadata: {name: cron, namespace: ns2}
            spec: {schedule: "0 0 1 1 *", suspend: true, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: x, image: cron}]}}}}}
            ---
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: none, namespace: ns2}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := FirstPods(s)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pods {
		injected := ""
		if p.Injected {
			injected = " with sidecar"
		}
		got = append(got, p.Workload+" "+p.Pod.Spec.Containers[0].Image+injected)
	}
	// The order of objects within a manifest is that in which they are applied.
	want := []string{"ns1/a nginx with sidecar", "ns2/plain nginx", "ns1/b redis with sidecar", "ns2/c busybox", "ns2/pod pod", "ns2/cron cron"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if p := pods[4].Pod; !p.Spec.HostNetwork || p.Labels["a"] != "b" {
		t.Errorf("%+v", p)
	}
	if cpu := pods[2].Pod.Spec.Containers[0].Resources.Requests.Cpu(); cpu.String() != "50m" {
		t.Errorf("%s", cpu)
	}
}
