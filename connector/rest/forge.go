package rest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/connector"
)

// ForgeError gives an error of a request to a forge the name that it has in the contract.
// Forges differ in words more than in codes: what a 403, 409 or 422 means is read from the
// text that comes with it.
func ForgeError(err error) error {
	var unsure *UnsureError
	var status *StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unsure):
		return fmt.Errorf("%w: %w", connector.ErrInDoubt, err)
	case !errors.As(err, &status):
		return err
	}
	text := strings.ToLower(status.Text())
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
	}
	reason := connector.ErrRefused
	switch {
	case status.Code == http.StatusTooManyRequests, status.After() > 0 && status.Code < 500, says("rate limit", "abuse"):
		return &connector.LimitError{After: status.After(), Err: err}
	case says("archived", "read-only", "readonly"):
		reason = connector.ErrArchived
	case says("protected branch", "rule violation", "branch is protected", "branch restriction", "policy"):
		reason = connector.ErrProtected
	case status.Code == http.StatusUnauthorized, status.Code == http.StatusForbidden:
		reason = connector.ErrRights
	case status.Code == http.StatusNotFound, status.Code == http.StatusGone:
		reason = connector.ErrGone
	case status.Code == http.StatusConflict, status.Code == http.StatusPreconditionFailed:
		reason = connector.ErrMoved
	case status.Code >= 500:
		return err
	}
	return fmt.Errorf("%w: %w", reason, err)
}

// Code is the status code of an error's answer, 0 when it is of another kind.
func Code(err error) int {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code
	}
	return 0
}

// Says whether the words of an error's answer hold a text, whatever the case.
func Says(err error, word string) bool {
	var status *StatusError
	return errors.As(err, &status) && strings.Contains(strings.ToLower(status.Text()), strings.ToLower(word))
}
