// Package image reads container images: layers, history and packages, which
// instruction of which Dockerfile made each layer, which part is the base
// image's, and which repository and commit the image was built from.
//
// Images come from OCI layouts, archives of docker save and registries. Layers
// are streamed and never unpacked to disk; digests are verified; names, sizes
// and counts are bounded. Every answer carries its evidence, equal answers are
// returned as ties, and what was not seen is named.
package image
