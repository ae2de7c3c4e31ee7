package people

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of files.
const (
	maxLine = 1 << 20
	// maxSpan is over how many lines one quoted field may go; after them, the quote
	// was never meant to be one.
	maxSpan  = 20
	maxField = 64 << 10
	maxYAML  = 16 << 20
)

// columns are the names that directories give to what is read, in small letters and
// without signs.
var columns = map[string]string{
	"name": "name", "displayname": "name", "fullname": "name", "cn": "name", "commonname": "name", "givenname": "given", "firstname": "given", "surname": "family", "sn": "family", "lastname": "family", "familyname": "family",
	"email": "email", "emails": "email", "mail": "email", "emailaddress": "email", "emailaddresses": "email", "userprincipalname": "email", "upn": "email", "workemail": "email", "otheremails": "email", "othermails": "email", "aliases": "email", "secondaryemail": "email",
	"login": "login", "logins": "login", "username": "login", "samaccountname": "login", "uid": "login", "github": "github", "githublogin": "github", "githubusername": "github", "gitlab": "gitlab", "gitlablogin": "gitlab", "gitlabusername": "gitlab",
	"team": "team", "teams": "team", "group": "team", "groups": "team", "memberof": "team",
	"manager": "manager", "manageremail": "manager", "managerid": "manager", "supervisor": "manager", "supervisoremail": "manager", "reportsto": "manager",
	"active": "active", "accountenabled": "active", "enabled": "active", "status": "status", "employmentstatus": "status",
	"left": "left", "lefton": "left", "leavingdate": "left", "enddate": "left", "terminationdate": "left", "lastday": "left",
	"id": "id", "employeeid": "id", "employeenumber": "id", "personid": "id", "title": "title", "jobtitle": "title", "department": "department", "bot": "bot", "serviceaccount": "bot",
}

// column gives what a heading means, "" when it is not known.
func column(heading string) string {
	return columns[strings.Map(func(r rune) rune {
		switch r {
		case ' ', '_', '-', '.', '/':
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(heading)))]
}

// set puts a value into a row.
func (r *row) set(column, value string) {
	value = strings.Clone(strings.TrimSpace(value)) // not to hold the whole line
	if value == "" || column == "" {
		return
	}
	switch column {
	case "name":
		r.name = value
	case "given":
		r.name = strings.TrimSpace(value + " " + r.name)
	case "family":
		r.name = strings.TrimSpace(r.name + " " + value)
	case "email":
		r.emails = append(r.emails, several(value, " ,;|")...)
	case "login":
		r.logins = append(r.logins, several(value, " ,;|")...)
	case "github", "gitlab":
		for _, login := range several(value, " ,;|") {
			r.logins = append(r.logins, column+".com/"+strings.TrimPrefix(login, "@"))
		}
	case "team":
		r.teams = append(r.teams, several(value, ",;|")...)
	case "manager":
		r.manager = value
	case "active":
		r.active = value
	case "status":
		r.status = value
	case "left":
		r.left = value
	case "id":
		r.id = value
	case "title":
		r.title = value
	case "department":
		r.department = value
	case "bot":
		r.bot = value
	}
}

func several(text, signs string) []string {
	var list []string
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(signs, r) }) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// lines gives the lines of a file with their numbers.
type lines struct {
	from   *bufio.Reader
	number int
	err    error
}

func (l *lines) next() (string, bool) {
	if l.err != nil {
		return "", false
	}
	var line []byte
	for {
		part, more, err := l.from.ReadLine()
		if err != nil {
			l.err = err
			return string(line), len(line) > 0
		}
		if line = append(line, part...); len(line) > maxLine {
			l.err = fmt.Errorf("line %d is longer than %d bytes", l.number+1, maxLine)
			return "", false
		}
		if !more {
			l.number++
			return string(line), true
		}
	}
}

// readCSV reads a table whose first line names its columns; fields are parted by
// comma, semicolon or tab, whichever the first line has most of. A quote that is
// never closed costs its own line only.
func readCSV(ctx context.Context, name string, from io.Reader, give func(*row, error) error) error {
	l := &lines{from: bufio.NewReaderSize(from, 64<<10)}
	heading, ok := l.next()
	for ok && strings.TrimSpace(strings.TrimPrefix(heading, "\ufeff")) == "" {
		heading, ok = l.next()
	}
	heading = strings.TrimPrefix(heading, "\ufeff")
	if !ok || !utf8.ValidString(heading) || strings.Contains(heading, "\x00") {
		return fmt.Errorf("%s: expected a line of column names in UTF-8", name)
	}
	comma := ','
	for _, sign := range []rune{';', '\t'} {
		if strings.Count(heading, string(sign)) > strings.Count(heading, string(comma)) {
			comma = sign
		}
	}
	names, err := fields(heading, comma)
	if err != nil {
		return fmt.Errorf("%s:%d: column names: %w", name, l.number, err)
	}
	useful := false
	for i, text := range names {
		names[i] = column(text)
		useful = useful || names[i] == "email" || names[i] == "login" || names[i] == "github" || names[i] == "gitlab" || names[i] == "id"
	}
	if !useful {
		return fmt.Errorf("%s:%d: expected a column email, login, github, gitlab or id", name, l.number)
	}
	var waiting []string // lines behind a quote that was never closed
	first := 0
	take := func() (string, bool) {
		if len(waiting) > 0 {
			line := waiting[0]
			waiting = waiting[1:]
			first++
			return line, true
		}
		line, ok := l.next()
		first = l.number
		return line, ok
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, ok := take()
		if !ok {
			break
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		at := first
		values, err := fields(line, comma)
		whole := line
		for span := 1; errors.Is(err, csv.ErrQuote) && open(whole) && span < maxSpan && len(whole) < maxField; span++ {
			var more string
			if len(waiting) >= span {
				more = waiting[span-1]
			} else if more, ok = l.next(); ok {
				waiting = append(waiting, more)
			} else {
				break
			}
			whole += "\n" + more
			if values, err = fields(whole, comma); err == nil {
				waiting = waiting[span:]
				first += span
			}
		}
		r := &row{file: name, line: at}
		switch {
		case !utf8.ValidString(whole):
			err = errors.New("expected text in UTF-8")
		case err == nil && len(values) > len(names):
			err = fmt.Errorf("%d fields, expected %d", len(values), len(names))
		}
		if err != nil {
			var fault *csv.ParseError
			if errors.As(err, &fault) {
				err = fault.Err
			}
			err = fmt.Errorf("%s:%d: %w", name, at, err)
		} else {
			for i, value := range values {
				r.set(names[i], value)
			}
		}
		if err := give(r, err); err != nil {
			return err
		}
	}
	if l.err != nil && !errors.Is(l.err, io.EOF) {
		return fmt.Errorf("%s: %w", name, l.err)
	}
	return nil
}

// open says whether the last quoted field of a line is not closed.
func open(line string) bool { return strings.Count(line, `"`)%2 == 1 }

func fields(line string, comma rune) ([]string, error) {
	reader := csv.NewReader(strings.NewReader(line))
	reader.Comma = comma
	reader.TrimLeadingSpace = comma != '\t'
	return reader.Read()
}

// readYAML reads a list of people, alone or under "people".
func readYAML(ctx context.Context, name string, from io.Reader, give func(*row, error) error) error {
	data, err := io.ReadAll(io.LimitReader(from, maxYAML+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxYAML {
		return fmt.Errorf("%s: larger than %d MiB; as CSV it may be larger", name, maxYAML>>20)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &document); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(document.Content) == 0 {
		return fmt.Errorf("%s: expected a list of people", name)
	}
	list := document.Content[0]
	if list.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(list.Content); i += 2 {
			if list.Content[i].Value == "people" {
				list = list.Content[i+1]
				break
			}
		}
	}
	if list.Kind != yaml.SequenceNode {
		return fmt.Errorf("%s:%d: expected a list of people", name, list.Line)
	}
	for _, node := range list.Content {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := rowOf(name, node)
		if err := give(r, err); err != nil {
			return err
		}
	}
	return nil
}

// rowOf reads one person of a YAML file.
func rowOf(name string, node *yaml.Node) (*row, error) {
	r := &row{file: name, line: node.Line}
	if node.Kind != yaml.MappingNode {
		return r, fmt.Errorf("%s:%d: expected a person with a name and an email", name, node.Line)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		meaning := column(key.Value)
		if meaning == "" {
			return r, fmt.Errorf("%s:%d: a person has no %.40q; expected name, emails, logins, github, gitlab, teams, manager, active, status, left, id, title, department or bot", name, key.Line, key.Value)
		}
		switch value.Kind {
		case yaml.ScalarNode:
			if value.Tag != "!!null" {
				r.set(meaning, value.Value)
			}
		case yaml.SequenceNode:
			for _, element := range value.Content {
				if element.Kind != yaml.ScalarNode {
					return r, fmt.Errorf("%s:%d: expected a text", name, element.Line)
				}
				r.set(meaning, element.Value)
			}
		default:
			return r, fmt.Errorf("%s:%d: expected a text or a list of texts", name, value.Line)
		}
	}
	return r, nil
}
