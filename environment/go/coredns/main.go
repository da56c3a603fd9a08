// CoreDNS with the plugins that a cluster's Corefile names, and no other: the whole of it takes minutes longer to build.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	// In the order in which a query passes them: a template answers what is left.
	dnsserver.Directives = []string{"ready", "health", "errors", "cache", "kubernetes", "template"}
	coremain.Run()
}
