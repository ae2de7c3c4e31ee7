package advisory

import (
	"errors"
	"fmt"
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"
)

var errVector = errors.New("not a CVSS vector")

// baseScore computes the base score of a CVSS vector of version 2.0, 3.0, 3.1 or
// 4.0. What a vector says of time, threat or environment does not count.
func baseScore(vector string) (score float64, err error) {
	switch version, _, _ := strings.Cut(vector, "/"); version {
	case "CVSS:4.0":
		var v *gocvss40.CVSS40
		if v, err = gocvss40.ParseVector(base4(vector)); err == nil {
			score = v.Score()
		}
	case "CVSS:3.1":
		var v *gocvss31.CVSS31
		if v, err = gocvss31.ParseVector(vector); err == nil {
			score = v.BaseScore()
		}
	case "CVSS:3.0":
		var v *gocvss30.CVSS30
		if v, err = gocvss30.ParseVector(vector); err == nil {
			score = v.BaseScore()
		}
	default:
		var v *gocvss20.CVSS20
		if v, err = gocvss20.ParseVector(strings.Trim(vector, "()")); err == nil {
			score = v.BaseScore()
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%q: %w: %w", clip(vector, 120), errVector, err)
	}
	return score, nil
}

// base4 keeps of a vector of version 4 the metrics of its base group.
func base4(vector string) string {
	parts := strings.Split(vector, "/")
	kept := parts[:1]
	for _, part := range parts[1:] {
		switch name, _, _ := strings.Cut(part, ":"); name {
		case "AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA":
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "/")
}
