//go:build tools

// Package tools pins the Kubernetes binaries of a node, for environment/src/cluster. The same version as in ../kubernetes.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-proxy"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
