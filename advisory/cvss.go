package advisory

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

var errVector = errors.New("not a CVSS vector")

// baseScore computes the base score of a CVSS 2.0, 3.0 or 3.1 vector
// (first.org: v2 guide section 3.2.1, v3.1 specification section 7.1). For
// version 4 it gives 0 and no error: its score needs the lookup table of the
// specification, and databases give a severity word beside it.
func baseScore(vector string) (float64, error) {
	switch {
	case strings.HasPrefix(vector, "CVSS:4."):
		return 0, nil
	case strings.HasPrefix(vector, "CVSS:3."):
		return scoreV3(vector)
	}
	return scoreV2(strings.Trim(vector, "()"))
}

func metrics(vector string) (map[string]string, error) {
	found := map[string]string{}
	for part := range strings.SplitSeq(vector, "/") {
		name, value, ok := strings.Cut(part, ":")
		if !ok || len(found) > 64 {
			return nil, fmt.Errorf("%q: %w", clip(vector, 120), errVector)
		}
		if _, twice := found[name]; twice {
			return nil, fmt.Errorf("%q: %w: %s is given twice", clip(vector, 120), errVector, name)
		}
		found[name] = value
	}
	return found, nil
}

// weights picks the weight of each metric, in order.
func weights(vector string, names []string, tables []map[string]float64) ([]float64, map[string]string, error) {
	found, err := metrics(vector)
	if err != nil {
		return nil, nil, err
	}
	picked := make([]float64, len(names))
	for i, name := range names {
		weight, ok := tables[i][found[name]]
		if !ok {
			return nil, nil, fmt.Errorf("%q: %w: %s is %q", clip(vector, 120), errVector, name, clip(found[name], 20))
		}
		picked[i] = weight
	}
	return picked, found, nil
}

var (
	namesV3  = []string{"AV", "AC", "PR", "UI", "S", "C", "I", "A"}
	impactV3 = map[string]float64{"H": 0.56, "L": 0.22, "N": 0}
	tablesV3 = []map[string]float64{
		{"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2}, {"L": 0.77, "H": 0.44}, {"N": 0.85, "L": 0.62, "H": 0.27},
		{"N": 0.85, "R": 0.62}, {"U": 0, "C": 1}, impactV3, impactV3, impactV3,
	}
	changedPR = map[string]float64{"N": 0.85, "L": 0.68, "H": 0.5}

	namesV2  = []string{"AV", "AC", "Au", "C", "I", "A"}
	impactV2 = map[string]float64{"N": 0, "P": 0.275, "C": 0.66}
	tablesV2 = []map[string]float64{
		{"L": 0.395, "A": 0.646, "N": 1}, {"H": 0.35, "M": 0.61, "L": 0.71}, {"M": 0.45, "S": 0.56, "N": 0.704}, impactV2, impactV2, impactV2,
	}
)

func scoreV3(vector string) (float64, error) {
	w, found, err := weights(vector, namesV3, tablesV3)
	if err != nil {
		return 0, err
	}
	changed := w[4] == 1
	if changed {
		w[2] = changedPR[found["PR"]]
	}
	base := 1 - (1-w[5])*(1-w[6])*(1-w[7])
	impact := 6.42 * base
	if changed {
		impact = 7.52*(base-0.029) - 3.25*math.Pow(base-0.02, 15)
	}
	if impact <= 0 {
		return 0, nil
	}
	total := impact + 8.22*w[0]*w[1]*w[2]*w[3]
	if changed {
		total *= 1.08
	}
	return roundUp(math.Min(total, 10)), nil
}

// roundUp is the Roundup of CVSS 3.1, appendix A: to one decimal, upwards,
// free of floating point noise.
func roundUp(score float64) float64 {
	hundredThousandths := int64(math.Round(score * 100000))
	if hundredThousandths%10000 == 0 {
		return float64(hundredThousandths) / 100000
	}
	return float64(hundredThousandths/10000+1) / 10
}

func scoreV2(vector string) (float64, error) {
	w, _, err := weights(vector, namesV2, tablesV2)
	if err != nil {
		return 0, err
	}
	impact := 10.41 * (1 - (1-w[3])*(1-w[4])*(1-w[5]))
	if impact == 0 {
		return 0, nil
	}
	score := (0.6*impact + 0.4*20*w[0]*w[1]*w[2] - 1.5) * 1.176
	return math.Round(score*10) / 10, nil
}
