package npm

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fix"
)

const workspaceFile = "pnpm-workspace.yaml"

var (
	pnpmVersion = regexp.MustCompile(`(?m)^lockfileVersion: *['"]?([0-9.]+)`)
	pnpmHooks   = regexp.MustCompile(`(?m)^pnpmfileChecksum: `)
	pnpmSetting = regexp.MustCompile(`(?m)^  (autoInstallPeers|excludeLinksFromLockfile|injectWorkspacePackages|peersSuffixMaxLength|dedupePeers): *([a-z0-9]+)\r?$`)
	plainKey    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/-]*$`)
)

// pnpmFormat is the version of the format of a pnpm-lock.yaml.
func pnpmFormat(data []byte) string {
	if m := pnpmVersion.FindSubmatch(data); m != nil {
		return string(m[1])
	}
	return ""
}

// pnpmSettings are the settings that a lock was made with, as arguments.
func pnpmSettings(lock []byte) []string {
	var args []string
	for _, m := range pnpmSetting.FindAllSubmatch(lock, -1) {
		args = append(args, "--config."+string(m[1])+"="+string(m[2]))
	}
	return args
}

// parseWorkspace reads a pnpm-workspace.yaml; data is nil where there is none.
func parseWorkspace(name string, data []byte) (*manifest, error) {
	m := &manifest{path: name, data: data, yaml: true, specs: map[string]map[string]span{}, forced: map[string][]span{}, objects: map[string]object{}, end: len(data)}
	root, err := mapping(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	lines := lineStarts(data)
	for i := 0; i+1 < len(root); i += 2 {
		key, value := root[i], root[i+1]
		switch {
		case key.Value == "catalog" && value.Kind == yaml.MappingNode:
			m.add("catalog:", value, lines)
		case key.Value == "catalogs" && value.Kind == yaml.MappingNode:
			for j := 0; j+1 < len(value.Content); j += 2 {
				section := "catalog:" + value.Content[j].Value
				if section == "catalog:default" {
					section = "catalog:"
				}
				if value.Content[j+1].Kind == yaml.MappingNode {
					m.add(section, value.Content[j+1], lines)
				}
			}
		case key.Value == "overrides" && value.Kind == yaml.MappingNode:
			m.openYAML(value, lines)
		}
	}
	return m, nil
}

// mapping gives keys and values of a YAML document that is a mapping or empty.
func mapping(data []byte) ([]*yaml.Node, error) {
	if len(data) > code.MaxFile {
		return nil, code.ErrTooLarge
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: expected a mapping", root.Line)
	}
	return root.Content, nil
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, b := range data {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// add notes the constraints of a catalog.
func (m *manifest) add(section string, value *yaml.Node, lines []int) {
	if m.specs[section] == nil {
		m.specs[section] = map[string]span{}
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		if s, ok := m.scalar(value.Content[i+1], lines); ok {
			m.specs[section][value.Content[i].Value] = s
		}
	}
}

// openYAML notes the overrides and where more can be added.
func (m *manifest) openYAML(value *yaml.Node, lines []int) {
	at := object{empty: len(value.Content) == 0, flow: value.Style&yaml.FlowStyle != 0}
	if at.flow {
		at.start = position(value, lines) + 1
	} else if !at.empty {
		first := value.Content[0]
		at.start = lines[first.Line-1]
		m.format = strings.Repeat(" ", first.Column-1)
	}
	if at.start <= len(m.data) && (at.flow || !at.empty) {
		m.objects["overrides"] = at
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		if s, ok := m.scalar(value.Content[i+1], lines); ok {
			if name := forcedName([]string{value.Content[i].Value}); name != "" {
				m.forced[name] = append(m.forced[name], s)
			}
		}
	}
}

func position(node *yaml.Node, lines []int) int {
	if node.Line < 1 || node.Line > len(lines) {
		return 0
	}
	return lines[node.Line-1] + node.Column - 1
}

// scalar finds the bytes of a text, which must stand as they mean.
func (m *manifest) scalar(node *yaml.Node, lines []int) (span, bool) {
	start := position(node, lines)
	if node.Kind != yaml.ScalarNode || node.Anchor != "" || start >= len(m.data) {
		return span{}, false
	}
	if node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		start++
	}
	end := start + len(node.Value)
	if end > len(m.data) || string(m.data[start:end]) != node.Value {
		return span{}, false
	}
	return span{start, end, node.Value, node.Line}, true
}

// overrideYAML adds members to "overrides", which it adds at the end when it is
// not there.
func (m *manifest) overrideYAML(members []forcing) (fix.Edit, error) {
	newline := "\n"
	if bytes.Contains(m.data, []byte("\r\n")) {
		newline = "\r\n"
	}
	var entries []string
	for _, member := range members {
		key := member.keys[0]
		if !plainKey.MatchString(key) {
			key = "'" + strings.ReplaceAll(key, "'", "''") + "'"
		}
		entries = append(entries, key+": "+member.version)
	}
	at, there := m.objects["overrides"]
	switch {
	case there && at.flow:
		text := strings.Join(entries, ", ")
		if !at.empty {
			text += ", "
		}
		return fix.Edit{Start: at.start, End: at.start, New: text}, nil
	case there:
		text := ""
		for _, entry := range entries {
			text += m.format + entry + newline
		}
		return fix.Edit{Start: at.start, End: at.start, New: text}, nil
	}
	root, err := mapping(m.data)
	if err != nil {
		return fix.Edit{}, fmt.Errorf("%s: %w", m.path, err)
	}
	if slices.ContainsFunc(root, func(n *yaml.Node) bool { return n.Value == "overrides" }) {
		return fix.Edit{}, fmt.Errorf("%s: overrides: expected a mapping", m.path)
	}
	text := "overrides:" + newline
	for _, entry := range entries {
		text += "  " + entry + newline
	}
	if len(m.data) > 0 && m.data[len(m.data)-1] != '\n' {
		text = newline + text
	}
	return fix.Edit{Start: len(m.data), End: len(m.data), New: text}, nil
}

// forceInWorkspace says whether pnpm reads overrides from its workspace file:
// where some stand there, and from pnpm 11 on.
func forceInWorkspace(root, workspace *manifest) bool {
	if _, ok := workspace.objects["overrides"]; ok {
		return true
	}
	if _, ok := root.objects["pnpm/overrides"]; ok {
		return false
	}
	name, version, _ := strings.Cut(root.manager, "@")
	number, _, _ := strings.Cut(version, ".")
	major, err := strconv.Atoi(number)
	return name == "pnpm" && err == nil && major >= 11
}

// workspaceSettings are the members of pnpm-workspace.yaml that decide what a
// lock holds. The others may name programs, hooks and registries.
var workspaceSettings = []string{
	"packages", "catalog", "catalogs", "overrides", "packageExtensions", "patchedDependencies", "peerDependencyRules",
	"ignoredOptionalDependencies", "autoInstallPeers", "dedupePeerDependents", "excludeLinksFromLockfile",
	"injectWorkspacePackages", "linkWorkspacePackages", "lockfileIncludeTarballUrl", "preferWorkspacePackages", "peersSuffixMaxLength",
	"resolutionMode", "sharedWorkspaceLockfile", "strictPeerDependencies", "supportedArchitectures",
}

// only keeps some members of a YAML mapping.
func only(data []byte, members []string) ([]byte, error) {
	root, err := mapping(data)
	if err != nil || root == nil {
		return nil, err
	}
	kept := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(root); i += 2 {
		if slices.Contains(members, root[i].Value) {
			kept.Content = append(kept.Content, root[i], root[i+1])
		}
	}
	if len(kept.Content) == 0 {
		return nil, nil
	}
	return yaml.Marshal(kept)
}

// errHooks says that a lock depends on program text of the repository.
var errHooks = errors.New("the lock was made with a .pnpmfile.cjs, which is program text of the repository and is not run")
