package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/backstitch/backstitch/connector"
)

// maxFile bounds an exported answer.
const maxFile = 64 << 20

var (
	accountHint = regexp.MustCompile(`(?:^|[^0-9])([0-9]{12})(?:[^0-9]|$)`)
	regionHint  = regexp.MustCompile(`(?:^|[^a-z0-9])((?:us|eu|ap|sa|ca|me|af|il|mx|cn)(?:-gov|-iso[a-z]?)?-(?:north|south|east|west|central|northeast|southeast|northwest|southwest)-[0-9])(?:[^0-9]|$)`)
	bucketHint  = regexp.MustCompile(`(?:^|[/_,])bucket=([a-z0-9][a-z0-9.-]{1,62}?)(?:\.json)?(?:[/_,]|$)`)
)

// placeOf reads account, region and bucket from a file's path.
func placeOf(name string) place {
	at := place{source: name}
	if found := accountHint.FindStringSubmatch(name); found != nil {
		at.account = found[1]
	}
	if found := regionHint.FindStringSubmatch(name); found != nil {
		at.region = found[1]
	}
	if found := bucketHint.FindStringSubmatch(name); found != nil {
		at.bucket = found[1]
	}
	return at
}

// exported reads a folder of answers. Each file is a scope.
func exported(ctx context.Context, values connector.Values, sink connector.Sink) error {
	root := values["path"]
	names, err := exportedFiles(root)
	if err != nil {
		return err
	}
	// What managed policies allow is needed before the identities they are
	// attached to are read; and whose answers stand in a folder.
	policies := map[string][]statement{}
	accounts := map[string]string{}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := readAnswer(root, name)
		if err != nil {
			continue // told below
		}
		learn(data, filepath.ToSlash(filepath.Dir(name)), policies, accounts)
	}
	for i, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		sink.Progress("reading answers", i, len(names))
		scope := filepath.ToSlash(name)
		if sink.Done(scope) {
			continue
		}
		at := placeOf(scope)
		at.account = or(at.account, accounts[filepath.ToSlash(filepath.Dir(name))], values["account"])
		if regions := values.List("regions"); at.region == "" && len(regions) == 1 {
			at.region = regions[0]
		}
		m := &mapper{sink: sink, scope: scope, at: at, policies: policies}
		if err := exportedFile(m, root, name); err != nil {
			if m.err != nil {
				return m.err
			}
			m.gaps++
			sink.Gap(scope, err)
		}
		if m.gaps == 0 {
			if err := sink.Covered(scope); err != nil {
				return err
			}
		}
	}
	sink.Progress("reading answers", len(names), len(names))
	return nil
}

func exportedFile(m *mapper, root, name string) error {
	data, err := readAnswer(root, name)
	if err != nil {
		return err
	}
	members, err := object(data)
	if err != nil {
		return fmt.Errorf("expected the answer of an aws command with --output json: %w", plainError(err))
	}
	if err := m.read(data); err != nil {
		return err
	}
	if more(members) {
		return errPage
	}
	return nil
}

// readAnswer reads a file of an answer: plain, or in the envelope that a recorder
// of answers puts around it.
func readAnswer(root, name string) ([]byte, error) {
	file, err := openBelow(root, name)
	if err != nil {
		var fault *fs.PathError
		if errors.As(err, &fault) {
			return nil, fault.Err
		}
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	return unwrap(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
}

func openBelow(root, name string) (*os.File, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return os.Open(root)
	}
	folder, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.Open(name)
}

// unwrap takes an answer out of a recorder's envelope, {"status_code", "data"},
// and writes its dates as text. An answer that is an error is one.
func unwrap(data []byte) ([]byte, error) {
	members, err := object(data)
	if err != nil {
		return data, nil // told by who reads it
	}
	if members["status_code"] != nil && members["data"] != nil {
		data = members["data"]
		if members, err = object(data); err != nil {
			return data, nil
		}
	}
	var fault struct{ Code string }
	if raw := members["error"]; raw != nil && json.Unmarshal(raw, &fault) == nil && fault.Code != "" {
		return nil, fmt.Errorf("the answer is the error %s", fault.Code)
	}
	if !bytes.Contains(data, []byte(`"__class__"`)) {
		return data, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return data, nil
	}
	return json.Marshal(dated(tree))
}

// dated replaces dates that are objects of their parts by their text.
func dated(tree any) any {
	switch tree := tree.(type) {
	case []any:
		for i := range tree {
			tree[i] = dated(tree[i])
		}
	case map[string]any:
		if tree["__class__"] == "datetime" {
			part := func(name string) int64 {
				n, _ := tree[name].(json.Number)
				value, _ := n.Int64()
				return value
			}
			return fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", part("year"), part("month"), part("day"), part("hour"), part("minute"), part("second"), part("microsecond"))
		}
		for key := range tree {
			tree[key] = dated(tree[key])
		}
	}
	return tree
}

// learn keeps from an answer the managed policies, and the account of who asked.
func learn(data []byte, folder string, policies map[string][]statement, accounts map[string]string) {
	members, err := object(data)
	if err != nil {
		return
	}
	for _, s := range recognise(members) {
		switch s.key {
		case "policies":
			var list []json.RawMessage
			if json.Unmarshal(members[s.key], &list) != nil {
				continue
			}
			for _, item := range list {
				var policy managedPolicy
				if json.Unmarshal(item, &policy) == nil {
					(&mapper{policies: policies}).learn(policy)
				}
			}
		case "account":
			var who caller
			if json.Unmarshal(data, &who) == nil && accountID(who.Account) {
				accounts[folder] = who.Account
			}
		}
	}
}

// exportedFiles lists the JSON files of a folder, sorted, as paths below it; of
// a file its name.
func exportedFiles(root string) ([]string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("setting path: %w", err)
	}
	if !info.IsDir() {
		return []string{filepath.Base(root)}, nil
	}
	var names []string
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() && strings.EqualFold(filepath.Ext(name), ".json") {
			below, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			names = append(names, below)
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("setting path: %s holds no .json file", root)
	}
	return names, err
}
