package connector

import (
	"context"
	"errors"
	"time"
)

// Forge takes changes: branches, and where the system has them pull requests. What else
// a forge can do is said by the interfaces below, each of which it may implement.
type Forge interface {
	Describe() Description
	// Propose publishes a change under its branch, once: when the branch
	// already holds the same change it does nothing, when it holds an older
	// form of it it is updated, when it holds anything else it fails with
	// ErrForeign. A forge with pull requests opens one for the branch, or brings
	// the text of the open one up to date.
	Propose(ctx context.Context, change Proposal) (Receipt, error)
}

// ForgeSource is a source whose system also takes changes. Its settings serve both.
type ForgeSource interface {
	Source
	// Forge opens the forge. It asks nothing of the network.
	Forge(values Values) (OpenForge, error)
}

// OpenForge is a forge that knows which remotes are its own.
type OpenForge interface {
	Forge
	// Serves says whether a remote's URL is a repository of this forge.
	Serves(remote string) bool
}

// Proposal is a change to be published.
type Proposal struct {
	// Repository is the folder of the local repository that holds Commit; forges that
	// take changes without a checkout read there what it changes.
	Repository string
	Remote     string // URL or path of the remote
	Branch     string // full branch name, without refs/heads/
	Base       string // full id of the commit it is made on
	Target     string // branch that it is meant for, "" for the default branch
	Commit     string // commit to publish
	Key        string // once-only key, also in the commit's trailer
	Title      string
	Body       string // Markdown, ends in the trailers
	Draft      bool
	Labels     []string
	Reviewers  []Reviewer
}

// Reviewer is somebody who is asked to look at a change or to act on a ticket.
type Reviewer struct {
	Name       string // login, or "org/team" for a team
	Team       bool
	Confidence float64 // 0..1
	Rationale  string
}

// Receipt is what the outside system said.
type Receipt struct {
	URL     string // where a person can look at it, "" when there is no such place
	Ref     string // what was published, for example refs/heads/...
	Commit  string // the commit that stands there, which may be an equal older one
	Number  int    // of the pull request or ticket, 0 for none
	Outcome string // created, updated, unchanged, closed
	// Notes are parts that the forge did not do, such as a reviewer whom it does not
	// know; the change stands all the same.
	Notes []string
}

// Reasons why a forge does not do what it is asked; errors wrap them, so that what
// became of a change has a name.
var (
	ErrForeign   = errors.New("the branch holds commits that are not this change")
	ErrNoChange  = errors.New("there is no such change")
	ErrRights    = errors.New("the credentials do not allow it")
	ErrProtected = errors.New("a protection rule of the repository does not allow it")
	ErrArchived  = errors.New("the repository is archived or takes no changes")
	ErrGone      = errors.New("the repository is not there, or not visible to these credentials")
	ErrMoved     = errors.New("the base moved meanwhile")
	ErrLimited   = errors.New("the forge asks to come back later")
	ErrRefused   = errors.New("the forge refuses it")
	// ErrInDoubt says that the request may have been carried out although no answer
	// came: cut connections, time-outs and errors of the server.
	ErrInDoubt = errors.New("it is not known whether the forge carried it out")
)

// LimitError is an ErrLimited that says when to come back.
type LimitError struct {
	After time.Duration // 0 unknown
	Err   error
}

func (e *LimitError) Error() string { return e.Err.Error() }

// Unwrap gives what the forge said; the error is an ErrLimited besides.
func (e *LimitError) Unwrap() []error { return []error{ErrLimited, e.Err} }

// Place names a change at a forge.
type Place struct {
	Repository string // folder of a local repository, for forges that are only git
	Remote     string
	Base       string // commit that the change was made on
	Branch     string
	Target     string // "" for the default branch
	Key        string
	Number     int    // of the pull request when known, 0 otherwise
	Head       string // commit that was published last, "" when that is not known
}

// ChangeState is the state of a change at its forge.
type ChangeState string

// States of a change at its forge.
const (
	ChangeOpen   ChangeState = "open"
	ChangeMerged ChangeState = "merged"
	ChangeClosed ChangeState = "closed" // without being merged, or the branch was removed
)

// Standing is a change as it stands at its forge. What people wrote is untrusted.
type Standing struct {
	State    ChangeState
	Number   int
	URL      string
	Branch   string // its branch, where somebody else named it
	Head     string // commit at the tip of its branch, "" when the branch is gone
	Target   string // branch that it is meant for
	Tip      string // commit at the tip of Target
	Draft    bool
	Conflict bool   // it cannot be merged as it is
	Merge    string // commit of Target that holds the change, when merged
	// At is when it was merged or closed, microseconds since 1970 UTC, 0 unknown.
	At int64
	By string // login of who merged or closed it
	// Authors are logins or names of those whose commits stand on the branch beside
	// ours: commits without the change's trailer.
	Authors []string
	Checks  string // success, failure, pending, "" unknown
	// Comments are what people with rights to write said on it, oldest first.
	Comments []Comment
}

// Comment is what somebody said on a change or a ticket.
type Comment struct {
	ID     string
	Author string
	Member bool // may write to the repository
	Text   string
	At     int64
}

// Follower tells how a change stands, and closes it.
type Follower interface {
	// Follow gives the standing of a change, by a listing and not by a search index.
	// It fails with ErrNoChange when neither branch nor pull request is there.
	Follow(ctx context.Context, place Place) (Standing, error)
	// Withdraw closes a change that is not merged, says why on it, and removes its
	// branch as long as the branch stands at head. What is closed already stays so.
	Withdraw(ctx context.Context, place Place, head, reason string) (Receipt, error)
}

// Commenter keeps one comment of ours on a change: the comment with the key's marker is
// brought up to date, or made.
type Commenter interface {
	Comment(ctx context.Context, place Place, key, body string) (Receipt, error)
}

// CheckRun is what we say of a commit beside other checks.
type CheckRun struct {
	Commit     string
	Name       string
	Conclusion string // success, failure, neutral
	Title      string
	Summary    string // Markdown
	URL        string
}

// CheckWriter puts a check beside a commit, once by name: a later form replaces it.
type CheckWriter interface {
	Check(ctx context.Context, remote string, run CheckRun) (Receipt, error)
}

// Ticket is an item in somebody else's tracker.
type Ticket struct {
	Remote    string
	Key       string // once-only key, carried in the body's trailer
	Title     string
	Body      string // Markdown
	Labels    []string
	Assignees []Reviewer // with rationale and confidence where the tracker has room
}

// Ways in which a coding agent is asked.
const (
	DelegateAssign  = "assign"  // the agent becomes an assignee
	DelegateLabel   = "label"   // a label starts it
	DelegateMention = "mention" // a comment that names it
	DelegateREST    = "rest"    // its own service is told
)

// Delegation hands a complete ticket to a coding agent.
type Delegation struct {
	Mode   string
	Agent  string // login, label or name to mention
	Target string // branch that it is to start from, "" for the default branch
	Text   string // for a mention: what is said behind the name; for rest: the prompt
}

// Tracker keeps tickets.
type Tracker interface {
	// FindTicket gives the number of the ticket with the key, 0 when there is none,
	// by a listing and not by a search index.
	FindTicket(ctx context.Context, remote, key string) (int, error)
	// OpenTicket makes the ticket, or brings the one with its key up to date.
	OpenTicket(ctx context.Context, ticket Ticket) (Receipt, error)
	// Delegate hands the ticket to a coding agent; who is assigned already stays so.
	Delegate(ctx context.Context, remote string, number int, to Delegation) (Receipt, error)
	// Linked lists the changes of others that say that they settle the ticket.
	Linked(ctx context.Context, remote string, number int) ([]Standing, error)
}

// HookRequest is one webhook request as it came in.
type HookRequest struct {
	Header map[string]string // names in lower case
	Body   []byte
}

// Event is what a webhook says happened: only a reason to go and look.
type Event struct {
	ID     string // the delivery's id at the forge, for duplicates
	Kind   string // push, pull_request, comment, check, ticket, ping
	Remote string // URL of the repository
	Branch string
	Number int
}

// HookSecret is the name of the setting that webhooks of a forge are judged by.
const HookSecret = "hook-secret"

// HookSetting is the setting of a forge that reads webhooks.
func HookSetting() Setting {
	return Setting{Name: HookSecret, Kind: SettingSecret, Help: "secret that webhooks are judged by, by reference; backstitch change listen takes them"}
}

// HookReader judges and reads webhook requests. The signature is checked in constant
// time before the body is read.
type HookReader interface {
	ReadHook(secret string, request HookRequest) (Event, error)
}
