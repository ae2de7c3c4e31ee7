package prowler

import (
	"cmp"
	"strings"

	"github.com/backstitch/backstitch/report"
)

// event reads a member of an event of the Open Cybersecurity Schema Framework that
// only that layout has.
func (c *check) event(d *report.Document, key string) {
	switch key {
	case "metadata":
		d.Object(func(key string) {
			switch key {
			case "event_code":
				c.f.Rule = d.Text()
			case "product":
				d.Object(func(key string) {
					if key == "version" {
						d.All().ToolVersion = d.Text()
					}
				})
			}
		})
	case "finding_info":
		d.Object(func(key string) {
			switch key {
			case "title":
				c.f.Title = d.Text()
			case "uid":
				report.Attribute(&c.f, "id", d.Text())
			case "created_time": // of the whole run, a number since version 4.5
				if seconds := d.Int(); seconds > 0 && seconds < 1<<40 {
					d.All().Started = int64(seconds) * 1_000_000
				}
			}
		})
	case "cloud":
		d.Object(func(key string) {
			switch key {
			case "provider":
				c.provider = d.Text()
			case "region":
				c.region = d.Text()
			case "account":
				d.Object(func(key string) {
					if key == "uid" {
						c.account = d.Text()
					}
				})
			}
		})
	case "remediation":
		d.Object(func(key string) {
			switch key {
			case "desc":
				c.f.Mitigation = d.Text()
			case "references":
				for _, text := range d.Texts() { // commands stand among the links
					if strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://") {
						c.f.References = append(c.f.References, text)
					}
				}
			}
		})
	case "resources":
		d.Array(func(i int) {
			if i > 0 {
				return // Prowler writes one
			}
			d.Object(func(key string) {
				switch key {
				case "uid":
					c.id = d.Text()
				case "name":
					c.name = d.Text()
				case "namespace":
					c.namespace = d.Text()
				case "type":
					c.kind = d.Text()
				case "region":
					c.region = cmp.Or(d.Text(), c.region)
				case "group":
					d.Object(func(key string) {
						if key == "name" {
							c.service = d.Text()
						}
					})
				case "labels":
					c.tags(d)
				}
			})
		})
	}
}
