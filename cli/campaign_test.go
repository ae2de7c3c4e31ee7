package cli

import (
	"strings"
	"testing"
)

func TestACampaignIsMadeShownOpenedAndEndedFromTheCommandLine(t *testing.T) {
	built, state := estate(t)
	storefront := built.Repositories[1]
	if code, _, stderr := command(t, state, append([]string{"triage", "--repo", storefront.Dir}, storefront.Reports...)...); code != exitClean {
		t.Fatalf("triage: exit code %d\n%s", code, stderr)
	}
	for _, wrong := range [][]string{
		{"create", "autumn", "--severity", "dire"},
		{"create", "autumn", "--due", "tomorrow"},
		{"create", "autumn", "--older-than", "-1"},
		{"create", "autumn", "--kind", "secret"}, // none of that kind is open
		{"create", "autumn", "--kind", "secrets"},
		{"create", "Autumn 2026"},
		{"show", "autumn"},
		{"open", "autumn", "--most", "0"},
		{"end", "autumn"},
	} {
		if code, _, stderr := command(t, state, append([]string{"campaign"}, wrong...)...); code != 2 || stderr == "" {
			t.Errorf("campaign %v: exit code %d, %q", wrong, code, stderr)
		}
	}
	if code, out, stderr := command(t, state, "campaign", "create", "autumn", "--severity", "high", "--fixable", "--due", "2999-12-24", "--manager", "ana"); code != exitClean || out != "autumn: 2 issues\n" {
		t.Fatalf("create: exit code %d\n%s\n%s", code, out, stderr)
	}
	for args, words := range map[string][]string{
		"list":        {"autumn    2       0       0 %          2999-12-24  ana"},
		"show autumn": {"autumn: 2 issues (at least high, with a known change)", "due 2999-12-24, led by ana", "closed: 0 of 2 issues, 0 % of the risk", "what is left", "raise lodash"},
	} {
		code, out, stderr := command(t, state, append([]string{"campaign"}, strings.Fields(args)...)...)
		for _, word := range words {
			if code != exitClean || !strings.Contains(out, word) {
				t.Errorf("campaign %s: exit code %d, no %q in\n%s\n%s", args, code, word, out, stderr)
			}
		}
	}
	if code, out, stderr := command(t, state, "campaign", "open", "autumn", "--remote", storefront.Remote); code != exitClean || strings.Count(out, "created refs/heads/backstitch/") != 2 {
		t.Errorf("open: exit code %d\n%s\n%s", code, out, stderr)
	}
	if code, out, _ := command(t, state, "campaign", "open", "autumn", "--remote", storefront.Remote); code != exitClean || out != "nothing is left to offer\n" {
		t.Errorf("open again: exit code %d\n%s", code, out)
	}
	if code, out, _ := command(t, state, "campaign", "show", "autumn"); code != exitClean || strings.Count(out, "change_open") != 2 {
		t.Errorf("show: exit code %d\n%s", code, out)
	}
	if code, _, stderr := command(t, state, "campaign", "end", "autumn", "--note", "enough"); code != exitClean {
		t.Errorf("end: exit code %d\n%s", code, stderr)
	}
	if code, out, _ := command(t, state, "campaign", "list"); code != exitClean || !strings.Contains(out, "ended ") {
		t.Errorf("list: exit code %d\n%s", code, out)
	}
}
