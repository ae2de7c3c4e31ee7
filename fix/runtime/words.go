package runtime

import (
	"regexp"
	"strings"
)

// Forms that systems give to their names. A word of another form is never put into a
// command.
var (
	region    = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	groupID   = regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`)
	bucket    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$`)
	instance  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]{0,62}$`)
	accessKey = regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`)
	userName  = regexp.MustCompile(`^[A-Za-z0-9_+=,.@][A-Za-z0-9_+=,.@-]{0,63}$`)
	cluster   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}$`)
	label     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	dnsName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	project   = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	azureID   = regexp.MustCompile(`^/subscriptions/[0-9a-fA-F-]{36}/resource[gG]roups/[A-Za-z0-9_.()-]{1,90}/providers/[A-Za-z.]{1,60}(/[A-Za-z0-9_.-]{1,90}){2,8}$`)
	cidr      = regexp.MustCompile(`^[0-9a-fA-F:.]{2,45}/[0-9]{1,3}$`)
	port      = regexp.MustCompile(`^-?[0-9]{1,5}$`)
	protocol  = regexp.MustCompile(`^(-1|[a-z0-9]{1,10})$`)
)

// arn takes the name of an AWS resource apart.
type arn struct{ service, region, account, resource string }

func parseARN(text string) (arn, bool) {
	parts := strings.SplitN(text, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") || parts[3] != "" && !region.MatchString(parts[3]) {
		return arn{}, false
	}
	return arn{parts[2], parts[3], parts[4], parts[5]}, true
}

// command writes words as one line of a POSIX shell. The words were checked; quoting is
// for the characters that the forms allow.
func command(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if strings.IndexFunc(word, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("./_-@:=,+%", r))
		}) >= 0 || word == "" {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
