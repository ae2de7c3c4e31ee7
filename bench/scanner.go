package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/backstitch/backstitch/report"
)

// measureScanner reads a Trivy-like report by the pull scanner and by the token
// stream of encoding/json, taking the same fields, which must come out equal.
var measureScanner = Measurement{ID: "scanner", Run: runScanner}

const scannerSize = 96 << 20

// scannerFields is what both take of each vulnerability.
type scannerFields struct {
	vulnerabilities int
	bytes           int // of the id, package, version and severity together
}

func runScanner(ctx context.Context) ([]Row, error) {
	document := trivyLike(scannerSize)
	best := func(read func() (scannerFields, error)) (float64, scannerFields, error) {
		fastest, fields := 0.0, scannerFields{}
		for range 3 {
			start := ownCPU()
			got, err := read()
			if err != nil {
				return 0, fields, err
			}
			fields = got
			if rate := float64(len(document)) / 1e6 / (ownCPU() - start).Seconds(); rate > fastest {
				fastest = rate
			}
		}
		return fastest, fields, nil
	}
	pulled, ours, err := best(func() (scannerFields, error) { return pull(ctx, bytes.NewReader(document)) })
	if err != nil {
		return nil, err
	}
	tokens, theirs, err := best(func() (scannerFields, error) { return tokenStream(bytes.NewReader(document)) })
	if err != nil {
		return nil, err
	}
	if ours != theirs || ours.vulnerabilities == 0 {
		return nil, fmt.Errorf("the scanner read %+v, encoding/json %+v", ours, theirs)
	}
	return []Row{
		{What: "scan of a Trivy report", Value: pulled, Unit: "MB/CPU s", Target: "at least 600", OK: pulled >= 600},
		{
			What: "scan of a Trivy report, times the baseline", Value: pulled / tokens, Unit: "x", Baseline: tokens, Against: "encoding/json tokens, MB/CPU s",
			Target: "at least 5", OK: pulled/tokens >= 5,
		},
	}, nil
}

// trivyLike writes a report of about size bytes in the shape that Trivy gives.
func trivyLike(size int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"SchemaVersion":2,"ArtifactName":"registry.test/shop:1","ArtifactType":"container_image","Results":[{"Target":"shop (debian 12.5)","Class":"os-pkgs","Type":"debian","Vulnerabilities":[`)
	description := bytes.Repeat([]byte("A flaw in the handling of lengths allows an attacker to write past the end. "), 12)
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteString(",\n        ")
		}
		fmt.Fprintf(&b, `{
          "VulnerabilityID": "CVE-2024-%d",
          "PkgID": "lib%d@1.2.%d-1",
          "PkgName": "lib%d",
          "PkgIdentifier": {"PURL": "pkg:deb/debian/lib%d@1.2.%d-1?arch=amd64&distro=debian-12.5", "UID": "%016x"},
          "InstalledVersion": "1.2.%d-1",
          "FixedVersion": "1.2.%d-2",
          "Status": "fixed",
          "Layer": {"Digest": "sha256:%064x", "DiffID": "sha256:%064x"},
          "SeveritySource": "debian",
          "PrimaryURL": "https://advisories.test/nvd/cve-2024-%d",
          "DataSource": {"ID": "debian", "Name": "Debian Security Tracker", "URL": "https://tracker.test/tracker/"},
          "Title": "lib%d: out of bounds write in \"parse\"",
          "Description": "%s",
          "Severity": "HIGH",
          "CweIDs": ["CWE-787"],
          "CVSS": {"nvd": {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "V3Score": 9.8}},
          "References": ["https://example.test/a/%d", "https://example.test/b/%d", "https://example.test/c/%d"],
          "PublishedDate": "2024-01-01T00:00:00Z",
          "LastModifiedDate": "2024-02-01T00:00:00Z"
        }`, i, i, i, i, i, i, i, i, i, i, i, i, i, description, i, i, i)
	}
	b.WriteString(`]}]}`)
	return b.Bytes()
}

func pull(ctx context.Context, in io.Reader) (scannerFields, error) {
	var fields scannerFields
	s := report.NewScanner(ctx, in)
	s.Object(func(key string) {
		if key != "Results" {
			return
		}
		s.Array(func(int) {
			s.Object(func(key string) {
				if key != "Vulnerabilities" {
					return
				}
				s.Array(func(int) {
					fields.vulnerabilities++
					s.Object(func(key string) {
						switch key {
						case "VulnerabilityID", "PkgName", "InstalledVersion", "Severity":
							fields.bytes += len(s.Text())
						}
					})
				})
			})
		})
	})
	return fields, s.End()
}

// tokenStream is the baseline. Fields of the same names stand nowhere else in the
// document, so it needs no more than the latest key.
func tokenStream(in io.Reader) (scannerFields, error) {
	var fields scannerFields
	decoder := json.NewDecoder(in)
	key, atKey := "", false
	var objects []bool // for each open bracket, whether it is an object
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return fields, nil
		}
		if err != nil {
			return fields, err
		}
		if delimiter, ok := token.(json.Delim); ok {
			if delimiter == '{' || delimiter == '[' {
				objects = append(objects, delimiter == '{')
			} else {
				objects = objects[:len(objects)-1]
			}
			atKey = len(objects) > 0 && objects[len(objects)-1]
			continue
		}
		text, isText := token.(string)
		if atKey && isText {
			key, atKey = text, false
			continue
		}
		if isText {
			switch key {
			case "VulnerabilityID":
				fields.vulnerabilities++
				fields.bytes += len(text)
			case "PkgName", "InstalledVersion", "Severity":
				fields.bytes += len(text)
			}
		}
		key = ""
		atKey = len(objects) > 0 && objects[len(objects)-1]
	}
}
