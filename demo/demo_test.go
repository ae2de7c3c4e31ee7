package demo

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheEstateHasRealHistoryAndTheSameIdsEachTime(t *testing.T) {
	heads := map[string]string{}
	for range 2 {
		dir := t.TempDir()
		built, err := Build(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(built.Repositories) != 3 {
			t.Fatalf("%d repositories, want 3", len(built.Repositories))
		}
		for _, repository := range built.Repositories {
			output, err := exec.Command("git", "-C", repository.Dir, "log", "--format=%H %ae").Output()
			if err != nil {
				t.Fatal(err)
			}
			authors := map[string]bool{}
			lines := strings.Split(strings.TrimSpace(string(output)), "\n")
			for _, line := range lines {
				authors[strings.Fields(line)[1]] = true
			}
			if len(authors) < 2 || len(lines) < 5 {
				t.Errorf("%s: %d commits by %d authors, want a history by several", repository.Name, len(lines), len(authors))
			}
			if len(repository.Reports) == 0 {
				t.Errorf("%s: no report", repository.Name)
			}
			if known := heads[repository.Name]; known != "" && known != lines[0] {
				t.Errorf("%s: head %s, the first time %s", repository.Name, lines[0], known)
			}
			heads[repository.Name] = lines[0]
		}
	}
}

func TestBuildRefusesAFolderThatIsNotEmpty(t *testing.T) {
	dir := t.TempDir()
	if _, err := Build(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), dir); err == nil || !strings.Contains(err.Error(), filepath.Base(dir)) {
		t.Errorf("second build into the same folder: %v, want a refusal that names it", err)
	}
}
