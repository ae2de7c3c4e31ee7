package gitremote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
)

var _ connector.Follower = (*Forge)(nil)

// Follow implements connector.Follower. Without pull requests, a change is merged when
// its target holds its commit, or since its base a commit that carries its key; it is
// closed when its branch is gone otherwise.
func (f *Forge) Follow(ctx context.Context, place connector.Place) (connector.Standing, error) {
	repository, err := git.Open(ctx, place.Repository)
	if err != nil {
		return connector.Standing{}, err
	}
	defer repository.Close()
	remote := git.Remote{URL: place.Remote, Token: f.token}
	standing := connector.Standing{State: connector.ChangeOpen, Target: place.Target}
	if standing.Target == "" {
		if standing.Target, _, err = repository.DefaultBranch(ctx, remote); err != nil {
			return standing, err
		}
	}
	if standing.Tip, err = repository.Fetch(ctx, remote, standing.Target); err != nil {
		return standing, fmt.Errorf("branch %s: %w", standing.Target, err)
	}
	if standing.Tip == "" {
		return standing, fmt.Errorf("branch %s: %w", standing.Target, connector.ErrGone)
	}
	if standing.Head, err = repository.Fetch(ctx, remote, place.Branch); err != nil {
		return standing, fmt.Errorf("branch %s: %w", place.Branch, err)
	}
	steps, err := repository.Between(ctx, place.Base, standing.Tip, false)
	if err != nil {
		return standing, err
	}
	for _, step := range slices.Backward(steps) {
		if step.ID == standing.Head || git.Trailer(step.Message, keyTrailer) == place.Key {
			standing.State = connector.ChangeMerged
			return standing, brought(ctx, repository, place.Base, step, &standing)
		}
	}
	if standing.Head == "" {
		if place.Base == "" {
			return standing, fmt.Errorf("branch %s: %w", place.Branch, connector.ErrNoChange)
		}
		standing.State = connector.ChangeClosed
		return standing, nil
	}
	own, err := repository.Between(ctx, standing.Tip, standing.Head, false)
	if err != nil {
		return standing, err
	}
	for _, step := range own {
		if git.Trailer(step.Message, keyTrailer) != place.Key && len(step.Parents) == 1 && !slices.Contains(standing.Authors, step.Author) {
			standing.Authors = append(standing.Authors, step.Author)
		}
	}
	slices.Sort(standing.Authors)
	return standing, nil
}

// brought names the commit of the target itself by which a commit came in: a merge, or
// the commit.
func brought(ctx context.Context, repository *git.Repository, base string, found git.Step, standing *connector.Standing) error {
	line, err := repository.Between(ctx, base, standing.Tip, true)
	if err != nil {
		return err
	}
	by := found
	for _, step := range slices.Backward(line) {
		holds, err := repository.Contains(ctx, step.ID, found.ID)
		if err != nil {
			return err
		}
		if holds {
			by = step
			break
		}
	}
	standing.Merge, standing.At, standing.By = by.ID, by.At*1e6, by.Author
	return nil
}

// Withdraw implements connector.Follower: the branch goes, provided that it stands at
// head. There is no place to say why.
func (f *Forge) Withdraw(ctx context.Context, place connector.Place, head, _ string) (connector.Receipt, error) {
	receipt := connector.Receipt{Ref: "refs/heads/" + place.Branch, Commit: head, Outcome: "closed"}
	repository, err := git.Open(ctx, place.Repository)
	if err != nil {
		return receipt, err
	}
	defer repository.Close()
	remote := git.Remote{URL: place.Remote, Token: f.token}
	present, err := repository.RemoteBranch(ctx, remote, place.Branch)
	switch {
	case err != nil:
		return receipt, err
	case present == "":
		receipt.Outcome = "unchanged"
		return receipt, nil
	case present != head:
		return receipt, fmt.Errorf("%s at %.12s: %w; it was left as it is", place.Branch, present, connector.ErrForeign)
	}
	err = repository.Delete(ctx, remote, place.Branch, head)
	if errors.Is(err, git.ErrStale) {
		err = fmt.Errorf("%s: %w; it was left as it is", cmp.Or(place.Branch, "the branch"), connector.ErrForeign)
	}
	return receipt, err
}
