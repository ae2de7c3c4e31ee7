package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/backstitch/backstitch/connector"
)

// ErrNoHooks says that a source takes no webhooks.
var ErrNoHooks = errors.New("it takes no webhooks")

// Hear takes a webhook request for a source that is a forge, and gives the ids of the
// changes to look at.
func (a *App) Hear(ctx context.Context, name string, request connector.HookRequest) ([]string, error) {
	definitions, err := a.Sources()
	if err != nil {
		return nil, err
	}
	for _, definition := range definitions {
		if definition.Name != name {
			continue
		}
		kind, values, err := prepared(definition)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		source, ok := kind.(connector.ForgeSource)
		if !ok || values[connector.HookSecret] == "" {
			return nil, fmt.Errorf("source %s: %w: expected a forge with the setting %s", name, ErrNoHooks, connector.HookSecret)
		}
		forge, err := source.Forge(values)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		return a.Desk.Hear(ctx, name, forge, values[connector.HookSecret], request)
	}
	return nil, fmt.Errorf("source %s: %w", name, ErrNoSource)
}
