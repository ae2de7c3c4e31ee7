package app

import (
	"fmt"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/connector"
)

// forge gives the forge that a remote belongs to: of the defined sources whose system
// also takes changes the first that serves it, and otherwise plain git. A source that
// would serve it but cannot be opened is an error, so that a change does not go out
// another way than was meant.
func (a *App) forge(remote string) (connector.Forge, error) {
	definitions, err := a.Sources()
	if err != nil {
		return nil, err
	}
	for _, definition := range definitions {
		kind, err := sourceOf(definition.Type)
		if err != nil {
			return nil, err
		}
		source, ok := kind.(connector.ForgeSource)
		if !ok {
			continue
		}
		values, err := connector.Check(source.Settings(), definition.Settings)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", definition.Name, err)
		}
		// The references to secrets tell nothing about whose remote it is; they are
		// only followed for the one that serves it.
		forge, err := source.Forge(values)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", definition.Name, err)
		}
		if !forge.Serves(remote) {
			continue
		}
		if _, values, err = prepared(definition); err == nil {
			forge, err = source.Forge(values)
		}
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", definition.Name, err)
		}
		return forge, nil
	}
	return builtin.Remote(a.config.RemoteToken), nil
}
