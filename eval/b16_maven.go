package main

import "context"

// b16Maven answers the peer's cases of Maven.
func b16Maven(ctx context.Context, data string) ([]b16Case, error) {
	return nil, ctx.Err()
}
