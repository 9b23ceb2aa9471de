package cluster

// Applications say what must run beside the mesh's own programs where a scenario sends
// requests. Clusters with real nodes run every container and redirect what their sidecars are
// to see, and ignore it.
type Applications struct {
	// StandIns are the workloads that requests are sent to, whose containers run the stand-in
	// where nothing else is named for them.
	StandIns []StandIn
}

// StandIn is a workload of which a stand-in answers for the application.
type StandIn struct {
	// Namespace and Workload are the names of a Deployment, a StatefulSet or a DaemonSet.
	Namespace, Workload string
	// Ports are those that requests are sent to, besides the ports that its containers declare.
	Ports []int
}
