package terraform

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// anyPort stands for every port in lists of ports.
const anyPort = -1

// databasePorts are those of widely used databases.
var databasePorts = []int64{1433, 1521, 3306, 5432, 5439, 6379, 9200, 11211, 27017}

// everywhere says whether a range of addresses is the whole internet, or half of it.
func everywhere(cidr string) bool {
	prefix, err := netip.ParsePrefix(strings.TrimSpace(cidr))
	return err == nil && prefix.Bits() <= 1
}

// openList says whether a list holds the whole internet.
func openList(v cty.Value) bool {
	list, _ := texts(v)
	return slices.ContainsFunc(list, everywhere)
}

// meets says whether a range of ports of a protocol holds one of some ports; none stands
// for a rule that is open on all ports.
func meets(protocol string, from, to int64, ports []int64) bool {
	whole := protocol == "-1" || strings.EqualFold(protocol, "all") || from <= 0 && to >= 65535
	if len(ports) == 0 || whole {
		return whole
	}
	if p := strings.ToLower(protocol); p == "icmp" || p == "icmpv6" || p == "1" || p == "58" {
		return false
	}
	return slices.ContainsFunc(ports, func(port int64) bool { return port == anyPort || from <= port && port <= to })
}

// openGroup breaks when a security group lets the internet in on one of some ports.
func openGroup(ask string, ports ...int64) judge {
	return func(s *subject) (flaws []flaw, known bool) {
		known = true
		look := func(v cty.Value, prefix string, sources []string, protocol, from, to string) {
			for _, source := range sources {
				value, how := at(v, source)
				if how == absent {
					continue
				}
				if how == opaque {
					// Unknown addresses matter only where the port is one of those.
					if hit, sure := portsMeet(v, protocol, from, to, ports); hit || !sure {
						known = false
					}
					continue
				}
				list, all := texts(value)
				if !slices.ContainsFunc(list, everywhere) {
					known = known && all
					continue
				}
				switch hit, sure := portsMeet(v, protocol, from, to, ports); {
				case !sure:
					known = false
				case hit:
					f := flaw{field: prefix + source, wanted: ask, detail: shown(value), more: map[string]string{}}
					for name, field := range map[string]string{"protocol": protocol, "from_port": from, "to_port": to} {
						v, _ := at(v, field)
						if s, ok := text(v); ok {
							f.more[name] = s
						}
					}
					if sensitive(ports) {
						f.more[closable] = "true"
					}
					flaws = append(flaws, f)
				}
			}
		}
		switch s.address.Type {
		case "aws_security_group_rule":
			kind, how := at(s.value, "type")
			if how == opaque {
				return nil, false
			}
			if same(kind, "ingress") {
				look(s.value, "", []string{"cidr_blocks", "ipv6_cidr_blocks"}, "protocol", "from_port", "to_port")
			}
		case "aws_vpc_security_group_ingress_rule":
			look(s.value, "", []string{"cidr_ipv4", "cidr_ipv6"}, "ip_protocol", "from_port", "to_port")
		default:
			list, ok := many(s.value, "ingress")
			if !ok {
				return nil, false
			}
			for i, rule := range list {
				if !rule.IsKnown() {
					known = false
					continue
				}
				look(rule, fmt.Sprintf("ingress[%d].", i), []string{"cidr_blocks", "ipv6_cidr_blocks"}, "protocol", "from_port", "to_port")
			}
		}
		return flaws, known
	}
}

// portsMeet judges the ports of one rule; sure is false where they are not known.
func portsMeet(v cty.Value, protocol, from, to string, ports []int64) (hit, sure bool) {
	p, how := at(v, protocol)
	name, _ := text(p)
	if how == opaque {
		name = "tcp"
	}
	first, howFirst := at(v, from)
	last, howLast := at(v, to)
	a, okA := number(first)
	b, okB := number(last)
	if name == "-1" || strings.EqualFold(name, "all") {
		return true, true
	}
	if howFirst == opaque || howLast == opaque || how == opaque {
		return false, false
	}
	if !okA || !okB {
		return false, true
	}
	return meets(name, a, b, ports), true
}

func openEgress(s *subject) (flaws []flaw, known bool) {
	const ask = "?the addresses and ports that have to be reached"
	known = true
	look := func(v cty.Value, prefix string, sources ...string) {
		for _, source := range sources {
			value, how := at(v, source)
			switch {
			case how == opaque:
				known = false
			case how == given && openList(value):
				flaws = append(flaws, flaw{field: prefix + source, wanted: ask, detail: shown(value)})
			}
		}
	}
	switch s.address.Type {
	case "aws_security_group_rule":
		kind, how := at(s.value, "type")
		if how == opaque {
			return nil, false
		}
		if same(kind, "egress") {
			look(s.value, "", "cidr_blocks", "ipv6_cidr_blocks")
		}
	case "aws_vpc_security_group_egress_rule":
		look(s.value, "", "cidr_ipv4", "cidr_ipv6")
	default:
		list, ok := many(s.value, "egress")
		if !ok {
			return nil, false
		}
		for i, rule := range list {
			if rule.IsKnown() {
				look(rule, fmt.Sprintf("egress[%d].", i), "cidr_blocks", "ipv6_cidr_blocks")
			}
		}
	}
	return flaws, known
}

func openACL(s *subject) (flaws []flaw, known bool) {
	known = true
	look := func(v cty.Value, prefix, action string, sources ...string) {
		if what, how := at(v, action); how == opaque || !one("allow")(what) {
			known = known && how != opaque
			return
		}
		for _, source := range sources {
			value, how := at(v, source)
			switch {
			case how == opaque:
				known = false
			case how == given && openList(value):
				hit, sure := portsMeet(v, "protocol", "from_port", "to_port", []int64{22, 3389})
				known = known && sure
				if hit {
					flaws = append(flaws, flaw{field: prefix + source, wanted: "?the addresses that may connect", detail: shown(value)})
				}
			}
		}
	}
	if s.address.Type == "aws_network_acl_rule" {
		if out, how := at(s.value, "egress"); how == opaque || how == given && same(out, "true") {
			return nil, how != opaque
		}
		look(s.value, "", "rule_action", "cidr_block", "ipv6_cidr_block")
		return flaws, known
	}
	list, ok := many(s.value, "ingress")
	if !ok {
		return nil, false
	}
	for i, rule := range list {
		if rule.IsKnown() {
			look(rule, fmt.Sprintf("ingress[%d].", i), "action", "cidr_block", "ipv6_cidr_block")
		}
	}
	return flaws, known
}

// inRanges says whether one of a list of ports and ranges such as "20-25" holds a port;
// sure is false for one that cannot be read.
func inRanges(list []string, port int64) (hit, sure bool) {
	sure = true
	for _, entry := range list {
		if entry == "*" {
			return true, true
		}
		low, high, isRange := strings.Cut(entry, "-")
		a, err := strconv.ParseInt(strings.TrimSpace(low), 10, 64)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseInt(strings.TrimSpace(high), 10, 64)
		}
		if err != nil {
			sure = false
			continue
		}
		if port == anyPort || a <= port && port <= b {
			return true, true
		}
	}
	return false, sure
}
