package gitremote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
)

var _ connector.Follower = (*Forge)(nil)

// Follow implements connector.Follower. Without pull requests, a change is merged when
// its target holds its commit, or since its base a commit that carries its key or changes
// the same; it is closed when its branch is gone otherwise.
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
	found, err := arrived(ctx, repository, place, standing)
	if err != nil {
		return standing, err
	}
	if found != "" {
		standing.State = connector.ChangeMerged
		return standing, brought(ctx, repository, place.Base, found, &standing)
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
	// A target that was written anew no longer holds what the change was made on.
	since, err := repository.Between(ctx, place.Base, standing.Head, false)
	if err != nil {
		return standing, err
	}
	for _, step := range own {
		if !slices.ContainsFunc(since, func(one git.Step) bool { return one.ID == step.ID }) {
			continue
		}
		if git.Trailer(step.Message, keyTrailer) != place.Key && len(step.Parents) == 1 && !slices.Contains(standing.Authors, step.Author) {
			standing.Authors = append(standing.Authors, step.Author)
		}
	}
	slices.Sort(standing.Authors)
	return standing, nil
}

// arrived gives the commit by which the target has the change, "" when it has not: its
// own commit, one that carries its key, or one that changes the same.
func arrived(ctx context.Context, repository *git.Repository, place connector.Place, standing connector.Standing) (string, error) {
	if head := cmp.Or(place.Head, standing.Head); head != "" {
		if holds, err := repository.Contains(ctx, standing.Tip, head); err != nil || holds {
			return head, err
		}
	}
	steps, err := repository.Saying(ctx, place.Base, standing.Tip, keyTrailer+": "+place.Key)
	if err != nil {
		return "", err
	}
	for _, step := range slices.Backward(steps) {
		if git.Trailer(step.Message, keyTrailer) == place.Key {
			return step.ID, nil
		}
	}
	if place.Head == "" {
		return "", nil
	}
	if steps, err = repository.Same(ctx, place.Base, standing.Tip, place.Head); err != nil || len(steps) == 0 {
		return "", err
	}
	return steps[len(steps)-1].ID, nil
}

// brought names the commit of the target itself by which a commit came in: a merge, or
// the commit.
func brought(ctx context.Context, repository *git.Repository, base, found string, standing *connector.Standing) error {
	line, err := repository.Between(ctx, base, standing.Tip, true)
	if err != nil {
		return err
	}
	slices.Reverse(line)
	var problem error
	at := sort.Search(len(line), func(i int) bool { // what comes after the one that brought it holds it, too
		holds, err := repository.Contains(ctx, line[i].ID, found)
		problem = errors.Join(problem, err)
		return holds
	})
	standing.Merge = found
	if at < len(line) {
		standing.Merge, standing.At, standing.By = line[at].ID, line[at].At*1e6, line[at].Author
	}
	return problem
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
