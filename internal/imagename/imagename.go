// Package imagename takes the names of container images apart: for the checker of scenarios,
// the nodes of the embedded cluster and the mesh.
package imagename

import "strings"

// Split returns an image's repository and its tag, "" for none, without its digest.
func Split(image string) (repository, tag string) {
	image, _, _ = strings.Cut(image, "@")
	// A colon before the last slash belongs to the registry's port.
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		return image[:colon], image[colon+1:]
	}
	return image, ""
}
