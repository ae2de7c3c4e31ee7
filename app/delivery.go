package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backstitch/backstitch/action"
)

// DeliveryFile is the file of the policy of outside effects in the state
// folder: which need a person's word, and how many may go when. It may be
// absent; action.Policy tells what may stand in it.
const DeliveryFile = "delivery.yaml"

// Deliveries is the log of outside effects.
func (a *App) Deliveries() *action.Log { return a.Log }

// deliveries opens the log. A policy that cannot be read stops effects, and
// nothing else.
func (a *App) deliveries() *action.Log {
	log := action.New(a.db, a.config.Now)
	log.Actor = a.config.Actor
	if a.config.OverrideLimits {
		log.Override = a.config.Actor
	}
	host, err := os.Hostname()
	if err != nil {
		host = "here"
	}
	log.Holder = fmt.Sprintf("%s/%d", host, os.Getpid())
	for _, kind := range []string{action.KindPropose, action.KindPullRequest} {
		log.RegisterKind(kind, action.ProposeBy(a.forge))
	}
	name := filepath.Join(a.config.State, DeliveryFile)
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return log
	}
	if err != nil {
		log.Use(nil, err)
		return log
	}
	defer file.Close()
	log.Use(action.ReadPolicy(name, file))
	return log
}
