package app

import (
	"fmt"
	"os"

	"github.com/backstitch/backstitch/egress"
	"github.com/backstitch/backstitch/fix"
)

// wayOut starts the proxy through which tools reach the hosts that the operator lists. A
// list that cannot be read ends the start: without it a tool would reach more.
func (a *App) wayOut() error {
	if a.config.Egress == "" {
		return nil
	}
	file, err := os.Open(a.config.Egress)
	if err != nil {
		return fmt.Errorf("hosts that tools may reach: %w", err)
	}
	defer file.Close()
	policy, err := egress.ReadPolicy(a.config.Egress, file, secret)
	if err != nil {
		return err
	}
	if a.proxy, err = egress.Start(policy); err != nil {
		return err
	}
	return os.Setenv(fix.ToolProxy, a.proxy.URL())
}
