package app

import "github.com/backstitch/backstitch/service"

// Services finds the services of the estate and keeps what people say of them.
func (a *App) Services() *service.Keeper {
	return &service.Keeper{DB: a.db, Graph: a.graph, Now: a.config.Now}
}
