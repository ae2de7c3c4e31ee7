package report

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/backstitch/backstitch/fact"
)

// spoolInMemory is how many findings a Spool holds before it writes to a file.
const spoolInMemory = 2000

// Spool holds findings whose asset or run a report only tells after them, at
// constant memory: past spoolInMemory they go through a temporary file.
type Spool struct {
	limit   int // findings in memory, 0 for spoolInMemory
	held    []fact.Finding
	file    *os.File
	encoder *gob.Encoder
}

// Add holds a finding.
func (p *Spool) Add(f fact.Finding) error {
	limit := p.limit
	if limit == 0 {
		limit = spoolInMemory
	}
	if p.file == nil && len(p.held) < limit {
		p.held = append(p.held, f)
		return nil
	}
	if p.file == nil {
		file, err := os.CreateTemp("", "backstitch-spool-")
		if err != nil {
			return fmt.Errorf("hold findings: %w", err)
		}
		p.file, p.encoder = file, gob.NewEncoder(file)
	}
	if err := p.encoder.Encode(&f); err != nil {
		return fmt.Errorf("hold findings: %w", err)
	}
	return nil
}

// Replay gives every finding in the order in which it was added.
func (p *Spool) Replay(each func(fact.Finding) error) error {
	for _, f := range p.held {
		if err := each(f); err != nil {
			return err
		}
	}
	if p.file == nil {
		return nil
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("hold findings: %w", err)
	}
	decoder := gob.NewDecoder(p.file)
	for {
		var f fact.Finding
		err := decoder.Decode(&f)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("hold findings: %w", err)
		}
		if err := each(f); err != nil {
			return err
		}
	}
}

// Close releases what is held.
func (p *Spool) Close() error {
	if p.file == nil {
		return nil
	}
	return errors.Join(p.file.Close(), os.Remove(p.file.Name()))
}
