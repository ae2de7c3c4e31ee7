package dockerfile

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// portForm is a port or a range of ports with its protocol.
var portForm = regexp.MustCompile(`([0-9]+(?:-[0-9]+)?)(?:/([A-Za-z]+))?`)

// healthFields are the settings that builders print behind a health check's test.
var healthFields = regexp.MustCompile(`\]\s*(?:"|Interval:|Timeout:|StartPeriod:|StartInterval:|Retries:).*$`)

// Space collapses every run of white space to one space and trims the ends.
func Space(text string) string { return strings.Join(strings.Fields(text), " ") }

// Canonical gives the one form of an instruction's arguments that a
// Dockerfile's text and the histories of the builders share: white space
// collapsed, list marks and quotes of lists dropped, ports with their protocol
// and sorted.
func Canonical(kind, args string) string {
	switch kind {
	case "EXPOSE":
		ports := portForm.FindAllStringSubmatch(strings.ReplaceAll(args, "{}", ""), -1)
		list := make([]string, 0, len(ports))
		for _, port := range ports {
			protocol := strings.ToLower(port[2])
			if protocol == "" {
				protocol = "tcp"
			}
			list = append(list, port[1]+"/"+protocol)
		}
		slices.Sort(list)
		return strings.Join(slices.Compact(list), " ")
	case "CMD", "ENTRYPOINT", "SHELL", "VOLUME":
		return strings.Join(Words(args), " ")
	case "HEALTHCHECK":
		args = strings.TrimLeft(strings.TrimSpace(args), "&")
		if strings.HasPrefix(args, "{") {
			args = healthFields.ReplaceAllString(args, "]")
			args = strings.TrimPrefix(strings.TrimPrefix(args, "{"), "Test:")
		}
		list := Words(args)
		for len(list) > 0 && strings.HasPrefix(list[0], "--") {
			list = list[1:]
		}
		if len(list) > 1 && (list[0] == "CMD-SHELL" || list[0] == "CMD") {
			list = list[1:]
		}
		return strings.Join(list, " ")
	case "WORKDIR":
		args = Space(args)
		if strings.HasPrefix(args, "/") {
			return path.Clean(args)
		}
		return args
	case "ENV", "LABEL", "ARG":
		// The old form KEY VALUE is the same as KEY=VALUE.
		if key, value, ok := strings.Cut(strings.TrimSpace(args), " "); ok && kind != "ARG" && !strings.ContainsAny(key, `="'`) {
			args = key + "=" + strings.TrimSpace(value)
		}
		return Space(strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(args))
	}
	return Space(args)
}

// Words splits a list in any of its forms, ["a", "b"], ["a" "b"], [a b] or a b,
// and collapses white space within quoted elements.
func Words(args string) []string {
	args = strings.TrimSpace(args)
	if strings.HasPrefix(args, "[") && strings.HasSuffix(args, "]") {
		args = args[1 : len(args)-1]
	}
	var list []string
	for args = strings.TrimLeft(args, " \t\r\n,"); args != ""; args = strings.TrimLeft(args, " \t\r\n,") {
		if args[0] == '"' {
			if quoted, err := strconv.QuotedPrefix(args); err == nil {
				text, err := strconv.Unquote(quoted)
				if err != nil {
					text = quoted
				}
				list = append(list, strings.Fields(text)...)
				args = args[len(quoted):]
				continue
			}
		}
		end := strings.IndexAny(args, " \t\r\n")
		if end < 0 {
			end = len(args)
		}
		list = append(list, strings.TrimSuffix(args[:end], ","))
		args = args[end:]
	}
	return list
}
