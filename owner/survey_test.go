package owner

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

// tagged is an estate of buckets in one account with a tag that no default rule reads.
func tagged(t *testing.T) (*world, *Estate) {
	t.Helper()
	w := newWorld(t)
	w.tell("cloud", func(r *graph.Run) error {
		for i := range 30 {
			n := node("cloud_resource", fmt.Sprintf("arn:aws:s3:eu:1:b%02d", i), "tag:OwnerGroup", []string{"web", "ops", "nobody-knows"}[i%3], "tag:env", "prod")
			if i >= 20 {
				n.Properties = map[string]string{"region": "eu"}
			}
			if err := all(r, n, relation(n.Asset, fact.PartOf, asset("account", "aws/1"), fact.Attested)); err != nil {
				return err
			}
		}
		return all(r, node("team", "web"), node("team", "ops"))
	})
	return w, w.estate(DefaultTagRules())
}

func TestGapsAreAPlanThatClosesMostFirst(t *testing.T) {
	t.Parallel()
	_, e := tagged(t)
	c, err := e.Coverage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Assets != (Share{All: 31}) || c.Kinds["cloud_resource"] != (Share{All: 30}) {
		t.Errorf("coverage %+v", c)
	}
	// The account's owner closes all 31, so that the tag rule has nothing left to close.
	if len(c.Gaps) != 1 || c.Gaps[0].Kind != "owner" || c.Gaps[0].Closes != 31 || !strings.Contains(c.Gaps[0].Propose, "account:aws/1") || len(c.Gaps[0].Samples) != 3 {
		t.Errorf("gaps %+v", c.Gaps)
	}
	// An owner of it closes them, as was said.
	if _, err := e.Say(t.Context(), Answer{By: "ada", Subject: asset("account", "aws/1"), Verb: Assign, Owner: fact.Party{Kind: "team", ID: "ops"}}); err != nil {
		t.Fatal(err)
	}
	if c, err := e.Coverage(t.Context()); err != nil || c.Assets.Clear != 31 || len(c.Gaps) != 0 || c.Sources[SourceHuman].Clear != 30 {
		t.Errorf("after the plan: %+v %v", c, err)
	}
	// Without an account the rule is what is left.
	w2, e2 := tagged(t)
	w2.tell("cloud", func(r *graph.Run) error {
		return all(r, node("team", "web"), node("cloud_resource", "x", "tag:OwnerGroup", "web"), node("cloud_resource", "y", "tag:OwnerGroup", "zzz"), node("cloud_resource", "z", "tag:team", "ghost"))
	})
	c, err = e2.Coverage(t.Context())
	if err != nil || len(c.Gaps) != 2 || c.Gaps[0].Kind != "tag_rule" || c.Gaps[0].Closes != 2 || !strings.Contains(c.Gaps[0].Text, "2 values of which 1 name somebody known: web, zzz") ||
		c.Gaps[1].Kind != "identity" || !strings.Contains(c.Gaps[1].Text, "ghost") {
		t.Errorf("%+v %v", c.Gaps, err)
	}
}

func TestPeoplesAnswersShowHowOftenTheFirstWasRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tell("catalog", func(r *graph.Run) error {
		for i := range 4 {
			if err := all(r, claimOn(asset("service", fmt.Sprint(i)), "backstage", "owner", "team", "web", .9), claimOn(asset("service", fmt.Sprint(i)), "backstage", "owner", "team", "ops", .6)); err != nil {
				return err
			}
		}
		return nil
	})
	e := w.estate(nil)
	for i, a := range []Answer{{Verb: Accept, Owner: fact.Party{Kind: "team", ID: "web"}}, {Verb: Reject, Reason: "no", Owner: fact.Party{Kind: "team", ID: "web"}},
		{Verb: Assign, Owner: fact.Party{Kind: "team", ID: "ops"}}, {Verb: Reject, Reason: "no", Owner: fact.Party{Kind: "team", ID: "ops"}}} {
		a.By, a.Subject = "ada", asset("service", fmt.Sprint(i))
		if _, err := e.Say(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		a.Verb, a.Owner = Pin, fact.Party{Kind: "team", ID: "web"} // a second answer says nothing of what was found
		if _, err := e.Say(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	c, err := e.Coverage(t.Context())
	answers, agreed := 0, 0
	for _, a := range c.Agreements {
		answers, agreed = answers+a.Answers, agreed+a.Agreed
	}
	if err != nil || answers != 3 || agreed != 1 {
		t.Errorf("%+v %v, want one of three", c.Agreements, err)
	}
}

func TestOtherRulesShowWhoseOwnersChangeAndNeverTouchAWord(t *testing.T) {
	t.Parallel()
	_, e := tagged(t)
	say := func(verb Verb, n int) {
		t.Helper()
		a := asset("cloud_resource", fmt.Sprintf("arn:aws:s3:eu:1:b%02d", n))
		if _, err := e.Say(t.Context(), Answer{By: "ada", Subject: a, Verb: verb, Owner: fact.Party{Kind: "team", ID: "ops"}}); err != nil {
			t.Fatal(err)
		}
	}
	say(Pin, 0)
	say(Assign, 3)
	rules, err := ParseTagRules("r.yaml", []byte("rules:\n- keys: [ownergroup]\n  kind: team\n"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Change(t.Context(), rules)
	if err != nil {
		t.Fatal(err)
	}
	if c.Assets != 31 || c.Gained != 12 || c.Lost != 0 || c.Said != 2 || c.Pinned != 1 || len(c.Sample) != 12 || c.Sample[0].After != "team ops" || c.Sample[0].Asset.Key != "arn:aws:s3:eu:1:b01" {
		t.Errorf("%+v", c)
	}
	tried, err := e.Try(t.Context(), rules)
	if err != nil || tried.Assets != 33 || tried.Claimed != 20 || tried.Rules[0].Owners != 3 || tried.Rules[0].Samples[0] != "arn:aws:s3:eu:1:b00: team web" {
		t.Errorf("%+v %v", tried, err)
	}
	after := NewEstate(e.db, e.precedence, rules, e.now)
	b, err := after.AcceptAbove(t.Context(), .8, "bo", true)
	if err != nil || b.Accepted != 12 || b.Said != 2 {
		t.Fatalf("%+v %v", b, err)
	}
	if b, err = after.AcceptAbove(t.Context(), .8, "bo", false); err != nil || b.Accepted != 12 || len(b.Samples) != 12 {
		t.Fatalf("%+v %v", b, err)
	}
	if b, err = after.AcceptAbove(t.Context(), .8, "bo", false); err != nil || b.Accepted != 0 || b.Said != 14 {
		t.Errorf("again: %+v %v", b, err)
	}
	x, err := after.Explain(t.Context(), asset("cloud_resource", "arn:aws:s3:eu:1:b00"))
	if err != nil || brief(x) != "team ops 1.000" || x.Rulings[0].By != "ada" || len(x.Lessons) != 0 {
		t.Errorf("pinned: %s %+v %v", brief(x), x.Lessons, err)
	}
	// Whoever speaks while a bulk is under way is heard.
	pinned := asset("cloud_resource", "arn:aws:s3:eu:1:b00")
	if kept, err := record(t.Context(), e.db, []Answer{{At: 1, By: "bo", Subject: pinned, Verb: Accept, Owner: fact.Party{Kind: "team", ID: "web"}}}, true); err != nil || kept != 0 {
		t.Errorf("a bulk over a pin: %d kept, %v", kept, err)
	}
	if _, err := after.AcceptAbove(t.Context(), .2, "bo", true); err == nil {
		t.Error("suggestions that are not clear were accepted")
	}
}

// codeWorld is a graph beside a repository.
func codeWorld(t *testing.T) (*world, *git.Repository, string) {
	t.Helper()
	w := newWorld(t)
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if err := gitIn(dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	run("init", "-q", "-b", "main")
	run("-c", "user.name=Seed", "-c", "user.email=seed@x.test", "commit", "-q", "--allow-empty", "-m", "start")
	repo, err := git.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := repo.Close(); err != nil {
			t.Error(err)
		}
	})
	head, err := repo.Resolve(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	return w, repo, head
}

func commit(t *testing.T, repo *git.Repository, head, name, mail string, day int, files map[string]string) string {
	t.Helper()
	contents := map[string][]byte{}
	for path, text := range files {
		contents[path] = []byte(text)
	}
	id, err := repo.Commit(t.Context(), head, contents, "Change", git.Signature{Name: name, Email: mail, When: clock.AddDate(0, 0, day-100)})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestCodeReachesWhatIsBuiltFromItAndFollowsAPush(t *testing.T) {
	t.Parallel()
	w, repo, head := codeWorld(t)
	head = commit(t, repo, head, "Ada Byron", "ada@x.test", 1, map[string]string{"web/Dockerfile": "FROM a\nRUN b\n", "CODEOWNERS": "/db/ @acme/db\n", "db/Dockerfile": "FROM c\n"})
	head = commit(t, repo, head, "Bo Diaz", "bo@x.test", 2, map[string]string{"db/Dockerfile": "FROM d\n"})
	identity, err := repo.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image := asset("image", "sha256:1")
	w.tell("repos", func(r *graph.Run) error {
		return all(r, node("dockerfile", identity+"//web/Dockerfile"), node("dockerfile", identity+"//db/Dockerfile"), node("file", identity+"//gone"), node("file", "other//web/Dockerfile"),
			relation(image, fact.PackagedFrom, asset("repository", identity), fact.Attested), relation(asset("cloud_resource", "fn"), fact.DeclaredAt, asset("dockerfile", identity+"//db/Dockerfile"), fact.Attested))
	})
	history, err := repo.History(t.Context(), head, "")
	if err != nil {
		t.Fatal(err)
	}
	index, err := NewIndex(t.Context(), repo, history)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := index.Claim(t.Context(), w.db, w.g, head, nil, w.now); err != nil {
		t.Fatal(err)
	}
	e := w.estate(nil)
	if x := w.explain(e, "dockerfile", identity+"//db/Dockerfile"); brief(x) != "team @acme/db 0.900" {
		t.Errorf("%s", brief(x))
	}
	if x := w.explain(e, "cloud_resource", "fn"); brief(x) != "team @acme/db 0.765" || !strings.Contains(x.Owners[0].Evidence[0].Detail, "through dockerfile") {
		t.Errorf("%s", brief(x))
	}
	if x := w.explain(e, "image", image.Key); len(x.Owners) == 0 || x.Owners[0].Evidence[0].Kind != SourceCode {
		t.Errorf("an image has no owner by its repository: %+v", x.Owners)
	}
	web := func() string {
		return w.explain(e, "dockerfile", identity+"//web/Dockerfile").Owners[0].ID
	}
	if got := web(); got != "ada@x.test" {
		t.Errorf("before the push %s", got)
	}
	for day := range 8 {
		head = commit(t, repo, head, "Cy Twain", "cy@x.test", 50+day, map[string]string{"web/Dockerfile": fmt.Sprintf("FROM %d\nRUN x\n", day)})
	}
	w.now = w.now.Add(time.Hour)
	if err := index.Extend(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	s, err := index.Claim(t.Context(), w.db, w.g, head, []string{"web/Dockerfile"}, w.now)
	if err != nil || s.Scopes != 2 {
		t.Fatalf("%+v %v, want the repository and the file only", s, err)
	}
	if got := web(); got != "cy@x.test" {
		t.Errorf("after the push %s", got)
	}
	// The whole again agrees.
	want := w.explain(e, "dockerfile", identity+"//web/Dockerfile").Owners
	fresh, err := NewIndex(t.Context(), repo, history)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Claim(t.Context(), w.db, w.g, head, nil, w.now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, w.explain(e, "dockerfile", identity+"//web/Dockerfile").Owners); diff != "" {
		t.Error(diff)
	}
}

func TestExportsRepairWithoutTouchingTheRest(t *testing.T) {
	t.Parallel()
	w, repo, head := codeWorld(t)
	before := "# owners\n/web/ @acme/web @gone-login  # the shop\n/db/ left@x.test\n/api/ @acme/none @here\n"
	head = commit(t, repo, head, "Ada Byron", "ada@x.test", 1, map[string]string{
		"CODEOWNERS": before, "web/a": "a\n", "db/a": "a\n", "api/a": "a\n", "tools/b": "b\nc\n", "tools/c": "b\n",
		"catalog-info.yaml": "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: shop\nspec:\n  type: service\n  owner: user:default/left # who\n---\napiVersion: backstage.io/v1alpha1\nkind: API\nmetadata: {name: x}\nspec:\n  type: openapi\n",
	})
	w.tell("people", func(r *graph.Run) error {
		return all(r, node("person", "gone", "login", "gone-login", "active", "false", "manager", "boss@x.test"), node("person", "boss@x.test"), node("person", "here", "login", "here"),
			node("person", "backstage:user:default/left", "email", "left@x.test", "active", "false"), relation(asset("person", "backstage:user:default/left"), fact.MemberOf, asset("team", "@acme/web"), fact.Declared), node("team", "@acme/web"))
	})
	e := w.estate(nil)
	x, err := e.ExportCodeowners(t.Context(), repo, head, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"+/tools/ ada@x.test\n", "-/web/ @acme/web @gone-login  # the shop\n", "+/web/ @acme/web boss@x.test  # the shop\n", "-/db/ left@x.test\n", "+/db/ @acme/web\n",
		"-/api/ @acme/none @here\n", "+/api/ @here\n", " # owners\n",
	} {
		if !strings.Contains(x.Diff, want) {
			t.Errorf("no %q in\n%s\n%q", want, x.Diff, x.Notes)
		}
	}
	// An address from a commit is no second line.
	evil := commit(t, repo, head, "Eve Hall", "eve@x.test /web/ @eve", 200, map[string]string{"evil/a": "a\n", "evil/b": "b\n"})
	if y, err := e.ExportCodeowners(t.Context(), repo, evil, ""); err != nil || strings.Contains(y.Diff, "@eve") {
		t.Errorf("%v\n%s", err, y.Diff)
	}
	if again, err := e.ExportCodeowners(context.Background(), repo, head, ""); err != nil || again.Diff != x.Diff {
		t.Errorf("the same again differs: %v", err)
	}
	if _, err := e.SayWith(t.Context(), Answer{By: "ada", Subject: asset("repository", x.Repository), Verb: Assign, Owner: fact.Party{Kind: "team", ID: "@acme/web", Name: "Web Team"}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	b, err := e.ExportBackstage(t.Context(), repo, head, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-  owner: user:default/left # who\n", "+  owner: group:default/web # who\n", "+  owner: group:default/web\n", " metadata: {name: x}\n"} {
		if !strings.Contains(b.Diff, want) {
			t.Errorf("no %q in\n%s\n%q", want, b.Diff, b.Notes)
		}
	}
}

func gitIn(dir string, args ...string) error {
	command := exec.Command("git", append([]string{"-C", dir}, args...)...)
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("git %v: %w: %s", args, err, out)
	}
	return nil
}

func TestAnEstateServesManyAtOnce(t *testing.T) {
	t.Parallel()
	w, e := tagged(t)
	if _, err := e.Say(t.Context(), Answer{By: "ada", Subject: asset("account", "aws/1"), Verb: Assign, Owner: fact.Party{Kind: "team", ID: "ops"}}); err != nil {
		t.Fatal(err)
	}
	want := brief(w.explain(e, "cloud_resource", "arn:aws:s3:eu:1:b01"))
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 10 {
				x, err := e.Explain(t.Context(), asset("cloud_resource", "arn:aws:s3:eu:1:b01"))
				if err != nil || brief(x) != want {
					t.Errorf("%v, want %s", err, want)
				}
			}
			if i%4 == 0 {
				if _, err := e.Coverage(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

func FuzzReadClaim(f *testing.F) {
	f.Add("team", "a\"b", "n", "owner", "backstage", "source", .5, int64(3), int64(0))
	f.Add("person", `\u0041`, "\n", "", "x", `,"since":9`, 1e-9, int64(-4), int64(1)<<62)
	f.Fuzz(func(t *testing.T, kind, id, name, role, source, detail string, confidence float64, since, until int64) {
		if confidence != confidence || confidence-confidence != 0 {
			return // no JSON
		}
		want := claimed{fact.Party{Kind: kind, ID: id, Name: name}, role, source, fact.Evidence{Method: "m", Source: detail, Strength: fact.Guess, Detail: detail}, confidence, since, until}
		data, err := json.Marshal(struct {
			Owner      fact.Party    `json:"owner"`
			Role       string        `json:"role"`
			Source     string        `json:"source"`
			Evidence   fact.Evidence `json:"evidence"`
			Confidence float64       `json:"confidence"`
			Since      int64         `json:"since,omitempty"`
			Until      int64         `json:"until,omitempty"`
		}{want.Owner, role, source, want.Evidence, confidence, since, until})
		if err != nil {
			return
		}
		var whole, quick claimed
		if err := json.Unmarshal(data, &whole); err != nil {
			return
		}
		if err := readClaim(data, &quick); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		quick.Evidence, whole.Evidence = fact.Evidence{Strength: quick.Evidence.Strength}, fact.Evidence{Strength: whole.Evidence.Strength}
		if quick != whole {
			t.Errorf("%s\n%+v\n%+v", data, quick, whole)
		}
	})
}
