package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/connector"
)

// SourcesFile is the file of the definitions of sources in the state folder. It
// is made to be reviewed and kept in git: secrets stand in it by reference only.
const SourcesFile = "sources.yaml"

// Bounds of what is read.
const (
	maxSources = 1 << 20
	maxSecret  = 64 << 10
)

// Source is the definition of one source. Settings are as a person gave them:
// secrets are "env:NAME" or "file:PATH".
type Source struct {
	Name     string            `json:"name" yaml:"name"`
	Type     string            `json:"type" yaml:"type"` // the last part of a connector's ID, for example "aws"
	Settings map[string]string `json:"settings" yaml:"settings,omitempty"`
}

type sourcesFile struct {
	Sources []Source `yaml:"sources"`
}

// ErrNoSource says that there is no source of a name.
var ErrNoSource = errors.New("there is no such source")

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// SourceType gives the word that names a kind of source in definitions.
func SourceType(source connector.Source) string { return path.Base(source.Describe().ID) }

// SourceTypes lists the kinds of sources, sorted by their words.
func SourceTypes() []connector.Source {
	list := builtin.Sources()
	slices.SortFunc(list, func(a, b connector.Source) int { return strings.Compare(SourceType(a), SourceType(b)) })
	return list
}

func sourceOf(kind string) (connector.Source, error) {
	var words []string
	for _, source := range SourceTypes() {
		if SourceType(source) == kind {
			return source, nil
		}
		words = append(words, SourceType(source))
	}
	return nil, fmt.Errorf("there is no kind of source %q; expected one of %s", kind, strings.Join(words, ", "))
}

// Sources lists the definitions, sorted by name.
func (a *App) Sources() ([]Source, error) { return readSources(a.sourcesPath()) }

func (a *App) sourcesPath() string { return filepath.Join(a.config.State, SourcesFile) }

func readSources(name string) ([]Source, error) {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSources+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxSources {
		return nil, fmt.Errorf("%s: larger than %d KiB", name, maxSources>>10)
	}
	var all sourcesFile
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&all); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: expected sources with name, type and settings: %w", name, err)
	}
	seen := map[string]bool{}
	for _, source := range all.Sources {
		if !sourceName.MatchString(source.Name) {
			return nil, fmt.Errorf("%s: a source is named %q; expected small letters, digits, dots and dashes", name, source.Name)
		}
		if seen[source.Name] {
			return nil, fmt.Errorf("%s: source %s is defined twice", name, source.Name)
		}
		seen[source.Name] = true
	}
	slices.SortFunc(all.Sources, func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
	return all.Sources, nil
}

func (a *App) writeSources(sources []Source) error {
	slices.SortFunc(sources, func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
	var text bytes.Buffer
	text.WriteString("# Sources of facts: backstitch source add|list|sync|remove. Secrets only as env:NAME or file:PATH.\n")
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(sourcesFile{sources}); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	fresh, err := os.CreateTemp(a.config.State, SourcesFile+".*")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) // fails once it was renamed
	_, err = fresh.Write(text.Bytes())
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), a.sourcesPath())
}

// AddSource defines a source, or defines one anew. Paths become absolute; a
// secret that is not a reference is refused.
func (a *App) AddSource(definition Source) (Source, error) {
	if !sourceName.MatchString(definition.Name) {
		return definition, fmt.Errorf("source name %q: expected small letters, digits, dots and dashes, at most 64", definition.Name)
	}
	source, err := sourceOf(definition.Type)
	if err != nil {
		return definition, err
	}
	given := map[string]string{}
	for name, value := range definition.Settings {
		given[name] = value
	}
	for _, setting := range source.Settings() {
		value := given[setting.Name]
		if value == "" {
			continue
		}
		switch setting.Kind {
		case connector.SettingSecret:
			if _, _, err := reference(value); err != nil {
				return definition, fmt.Errorf("setting %s: %w", setting.Name, err)
			}
		case connector.SettingPath:
			if given[setting.Name], err = filepath.Abs(value); err != nil {
				return definition, err
			}
		default:
			if at, err := url.Parse(value); err == nil && at.User != nil {
				return definition, fmt.Errorf("setting %s: expected no credentials in an address", setting.Name)
			}
		}
	}
	if _, err := connector.Check(source.Settings(), given); err != nil {
		return definition, err
	}
	definition.Settings = given
	sources, err := a.Sources()
	if err != nil {
		return definition, err
	}
	sources = slices.DeleteFunc(sources, func(s Source) bool { return s.Name == definition.Name })
	return definition, a.writeSources(append(sources, definition))
}

// RemoveSource forgets a definition. What the source told stays, with the time
// it was last seen.
func (a *App) RemoveSource(name string) error {
	sources, err := a.Sources()
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(sources), func(s Source) bool { return s.Name == name })
	if len(rest) == len(sources) {
		return fmt.Errorf("%q: %w", name, ErrNoSource)
	}
	return a.writeSources(rest)
}

// reference splits a reference to a secret into its kind and what it names.
func reference(value string) (kind, name string, err error) {
	kind, name, found := strings.Cut(value, ":")
	if !found || kind != "env" && kind != "file" || name == "" {
		return "", "", errors.New("expected env:NAME or file:PATH, since a secret does not stand in a definition")
	}
	return kind, name, nil
}

// secret reads what a reference names.
func secret(value string) (string, error) {
	kind, name, err := reference(value)
	if err != nil {
		return "", err
	}
	if kind == "env" {
		text, set := os.LookupEnv(name)
		if !set || text == "" {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		return text, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxSecret {
		return "", fmt.Errorf("%s is larger than %d KiB, which no secret is", name, maxSecret>>10)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// prepared gives the source of a definition with its values, secrets resolved.
func prepared(definition Source) (connector.Source, connector.Values, error) {
	source, err := sourceOf(definition.Type)
	if err != nil {
		return nil, nil, err
	}
	values, err := connector.Check(source.Settings(), definition.Settings)
	if err != nil {
		return nil, nil, err
	}
	for _, setting := range source.Settings() {
		if setting.Kind == connector.SettingSecret && values[setting.Name] != "" {
			if values[setting.Name], err = secret(values[setting.Name]); err != nil {
				return nil, nil, fmt.Errorf("setting %s: %w", setting.Name, err)
			}
		}
	}
	return source, values, nil
}
