// Package service finds the services that a company runs from what the graph
// knows of its workloads, so that the owners of a service reach everything in it.
//
// A workload belongs to a service for a reason, and the strongest counts: a
// catalog's entity names it (annotation or label backstage.io/kubernetes-id, a
// label selector); a label app.kubernetes.io/part-of; a Helm release; a GitOps
// application; the label app.kubernetes.io/instance or name; a Compose project; a
// tag or CloudFormation stack; an ECS service; the repository it is built from; at
// last its name without the environment. Reasons that are the same in several
// environments make one service. A group whose workloads are all built from one
// repository, which one entity of the catalog names as its source, is that entity and
// no second service.
//
// What people say comes last and stays: services merged, members split off, names
// given. These edits name services and assets by key, are kept in the order in
// which they were made, and are applied again to whatever the next run finds.
//
// The result is written into the graph by the source "services": each member is
// part_of its service, with the reason as the evidence.
package service
