package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// inventories measures the metric parsed.
func inventories(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	root := filepath.Join(data, "sbom")
	readers := builtin.Readers()
	right := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		result.Cases++
		wrong, note := judgeInventory(ctx, readers, filepath.ToSlash(name), content)
		if wrong == "" {
			right++
		} else {
			note = "MISS: " + wrong
		}
		if note != "" {
			result.Notes = append(result.Notes, filepath.ToSlash(name)+": "+note)
		}
		return ctx.Err()
	})
	if err != nil {
		return result, err
	}
	if result.Cases == 0 {
		return result, errors.New("the folder sbom holds no file")
	}
	result.Metrics["parsed"] = share(right, result.Cases)
	return result, nil
}

// listed is a sink that counts.
type listed struct{ runs, components, purls, said int }

func (l *listed) Run(fact.Run) error             { l.runs++; return nil }
func (l *listed) Finding(fact.Finding) error     { l.said++; return nil }
func (l *listed) Statement(fact.Statement) error { l.said++; return nil }
func (l *listed) Component(c fact.Component) error {
	l.components++
	if c.Package.PURL != "" {
		l.purls++
	}
	return nil
}

// judgeInventory reads one file, and only then counts what stands in it.
func judgeInventory(ctx context.Context, readers []report.Reader, name string, content []byte) (wrong, note string) {
	var got listed
	readErr := report.Read(ctx, readers, name, bytes.NewReader(content), &got)
	want := plainCount(content)
	switch {
	case want.refuse != "" && readErr == nil:
		return "read, although it is " + want.refuse, ""
	case want.refuse != "" && errors.Is(readErr, report.ErrUnknownFormat):
		return "", "refused, as it is " + want.refuse
	case want.refuse != "":
		return "", fmt.Sprintf("refused, as it is %s: %v", want.refuse, readErr)
	case readErr != nil:
		return "not read: " + readErr.Error(), ""
	case got.runs != 1:
		return fmt.Sprintf("%d runs", got.runs), ""
	case got.components != want.components || got.purls != want.purls:
		return fmt.Sprintf("%d components, %d with a package URL; a plain count finds %d and %d", got.components, got.purls, want.components, want.purls), ""
	case (got.said > 0) != (want.said > 0):
		return fmt.Sprintf("%d findings and statements; a plain count finds %d", got.said, want.said), ""
	}
	return "", want.note
}

// counted is what a plain count finds in a file.
type counted struct {
	components, purls int
	said              int    // vulnerabilities and statements
	refuse            string // why the file must be refused
	note              string
}

var lostEscape = regexp.MustCompile(`\\u([0-9a-fA-F]{0,3})([^0-9a-fA-F])`)

// plainCount knows the formats by their own mark and counts in the decoded document,
// in ways that share nothing with the readers.
func plainCount(content []byte) counted {
	text := bytes.TrimSpace(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")))
	switch {
	case bytes.HasPrefix(text, []byte("<")):
		return plainXML(text)
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return plainJSON(text)
	case bytes.HasPrefix(text, []byte("SPDXVersion:")):
		return plainTags(string(text))
	}
	return counted{refuse: "no SBOM"}
}

func plainJSON(text []byte) counted {
	var c counted
	// Where an address was made unknown, a part of the escape before it was lost.
	if repaired := lostEscape.ReplaceAll(text, []byte(`\\u$1$2`)); !bytes.Equal(repaired, text) {
		text, c.note = repaired, "an escape in it is none; read as a damaged character"
	}
	var document any
	if json.Unmarshal(text, &document) != nil {
		return counted{refuse: "no valid JSON"}
	}
	top, _ := document.(map[string]any)
	words, _ := top["@context"].(string)
	version, _ := top["spdxVersion"].(string)
	switch {
	case top["bomFormat"] == "CycloneDX":
		c.nested(top, "components")
		c.nested(top, "services")
		c.said = len(array(top["vulnerabilities"]))
	case version != "":
		if id, _ := top["SPDXID"].(string); id == "" {
			return counted{refuse: "without the identifier that SPDX demands"}
		}
		for _, p := range array(top["packages"]) {
			c.components++
			fields, _ := p.(map[string]any)
			references := array(fields["externalRefs"])
			if slices.ContainsFunc(references, func(r any) bool { return plainField(r, "referenceType") == "purl" }) {
				c.purls++
			}
			for _, r := range references {
				if plainField(r, "referenceType") == "advisory" {
					c.said++
				}
			}
		}
	case strings.Contains(words, "spdx.org/rdf/3"):
		for _, element := range array(top["@graph"]) {
			if strings.HasSuffix(plainField(element, "type"), "Package") {
				c.components++
				if plainField(element, "software_packageUrl") != "" {
					c.purls++
				}
			}
		}
	case strings.HasPrefix(plainField(top["schema"], "url"), "https://") && top["artifacts"] != nil:
		for _, a := range array(top["artifacts"]) {
			c.components++
			if plainField(a, "purl") != "" {
				c.purls++
			}
		}
	case top["statements"] != nil && top["author"] != nil:
		c.said = len(array(top["statements"]))
	case top["payload"] != nil:
		c.refuse = "a signed envelope, which is checked before it is believed"
	default:
		c.refuse = "no SBOM"
	}
	return c
}

func array(value any) []any {
	list, _ := value.([]any)
	return list
}

func plainField(value any, name string) string {
	fields, _ := value.(map[string]any)
	text, _ := fields[name].(string)
	return text
}

// nested counts entries and those inside them.
func (c *counted) nested(in map[string]any, key string) {
	for _, value := range array(in[key]) {
		c.components++
		if plainField(value, "purl") != "" {
			c.purls++
		}
		if fields, ok := value.(map[string]any); ok {
			c.nested(fields, key)
		}
	}
}

// plainXML counts the elements inside lists of components and services, but for
// those of the metadata, which tell what the document is about and who made it.
func plainXML(text []byte) counted {
	var c counted
	var open []string
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			return counted{refuse: "no valid XML"}
		}
		switch t := token.(type) {
		case xml.StartElement:
			parent := ""
			if len(open) > 0 {
				parent = open[len(open)-1]
			} else if t.Name.Local != "bom" {
				return counted{refuse: "no SBOM"}
			}
			if !slices.Contains(open, "metadata") {
				switch {
				case parent == "components" && t.Name.Local == "component", parent == "services" && t.Name.Local == "service":
					c.components++
				case t.Name.Local == "purl" && parent == "component" && open[len(open)-2] == "components":
					c.purls++
				case parent == "vulnerabilities" && t.Name.Local == "vulnerability":
					c.said++
				}
			}
			open = append(open, t.Name.Local)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
}

// plainTags counts the lines that begin a package.
func plainTags(text string) counted {
	var c counted
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "PackageName:"):
			c.components++
		case strings.HasPrefix(line, "ExternalRef:") && strings.Contains(line, " purl "):
			c.purls++
		}
	}
	return c
}
