package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The databases of rpm hold one header a package. Three stores are read, each
// from its bytes with every offset checked: SQLite, ndb and Berkeley DB hash.

var errRPM = errors.New("rpm database: expected SQLite, ndb or a Berkeley DB hash")

func parseRPM(data []byte) ([]Installed, error) {
	var headers [][]byte
	var err error
	switch {
	case bytes.HasPrefix(data, []byte("SQLite format 3\x00")):
		headers, err = sqliteBlobs(data)
	case bytes.HasPrefix(data, []byte("RpmP")):
		headers, err = ndbBlobs(data)
	case len(data) >= 72 && binary.LittleEndian.Uint32(data[12:]) == 0x00061561:
		headers, err = bdbBlobs(data, binary.LittleEndian)
	case len(data) >= 72 && binary.BigEndian.Uint32(data[12:]) == 0x00061561:
		headers, err = bdbBlobs(data, binary.BigEndian)
	default:
		return nil, errRPM
	}
	var packages []Installed
	broken := 0
	for _, header := range headers {
		p, ok := rpmHeader(header)
		switch {
		case !ok:
			broken++
		case p.Name != "gpg-pubkey" && len(packages) < maxPackages:
			packages = append(packages, p)
		}
	}
	sortInstalled(packages)
	if broken > 0 {
		err = errors.Join(err, fmt.Errorf("%d package headers could not be read", broken))
	}
	return packages, err
}

func sortInstalled(packages []Installed) {
	slices.SortFunc(packages, func(a, b Installed) int {
		return strings.Compare(a.Name+"\x00"+a.Version+"\x00"+a.Arch, b.Name+"\x00"+b.Version+"\x00"+b.Arch)
	})
}

// rpmHeader reads the tags that name a package.
func rpmHeader(data []byte) (Installed, bool) {
	if len(data) < 8 {
		return Installed{}, false
	}
	count, size := int(binary.BigEndian.Uint32(data)), int(binary.BigEndian.Uint32(data[4:]))
	if count < 0 || count > 1<<16 || size < 0 || 8+16*count+size > len(data) {
		return Installed{}, false
	}
	store := data[8+16*count:][:size]
	text := func(offset int) string {
		if offset < 0 || offset >= len(store) {
			return ""
		}
		end := bytes.IndexByte(store[offset:], 0)
		if end < 0 || end > 4096 {
			return ""
		}
		return string(store[offset : offset+end])
	}
	var name, version, release, arch, source string
	epoch := -1
	for i := range count {
		entry := data[8+16*i:]
		offset := int(int32(binary.BigEndian.Uint32(entry[8:])))
		switch binary.BigEndian.Uint32(entry) {
		case 1000:
			name = text(offset)
		case 1001:
			version = text(offset)
		case 1002:
			release = text(offset)
		case 1003:
			if offset >= 0 && offset+4 <= len(store) {
				epoch = int(binary.BigEndian.Uint32(store[offset:]))
			}
		case 1022:
			arch = text(offset)
		case 1044:
			source = text(offset)
		}
	}
	if name == "" || version == "" {
		return Installed{}, false
	}
	p := Installed{Name: name, Version: version, Arch: arch}
	if release != "" {
		p.Version += "-" + release
	}
	if epoch > 0 {
		p.Version = strconv.Itoa(epoch) + ":" + p.Version
	}
	// bash-5.1.8-6.el9.src.rpm
	if source, ok := strings.CutSuffix(source, ".src.rpm"); ok {
		if at := strings.LastIndexByte(source, '-'); at > 0 {
			if at2 := strings.LastIndexByte(source[:at], '-'); at2 > 0 && source[:at2] != name {
				p.Source, p.SourceVer = source[:at2], source[at2+1:]
			}
		}
	}
	return p, true
}

// ndbBlobs reads rpm's own store: a table of slots that point at blobs.
func ndbBlobs(data []byte) ([][]byte, error) {
	const slotMagic, blobMagic = 0x746f6c53, 0x53626c42 // "Slot", "BlbS"
	u32 := binary.LittleEndian.Uint32
	if len(data) < 32 {
		return nil, errRPM
	}
	end := int64(u32(data[12:])) * 4096
	if end > int64(len(data)) {
		return nil, fmt.Errorf("ndb: the table of slots ends behind the file")
	}
	var headers [][]byte
	for at := int64(32); at+16 <= end; at += 16 {
		slot := data[at:]
		if u32(slot) != slotMagic {
			return headers, fmt.Errorf("ndb: no slot at byte %d", at)
		}
		if u32(slot[4:]) == 0 {
			continue
		}
		offset := int64(u32(slot[8:])) * 16
		if offset+16 > int64(len(data)) || u32(data[offset:]) != blobMagic {
			return headers, fmt.Errorf("ndb: no blob at byte %d", offset)
		}
		size := int64(u32(data[offset+12:]))
		if offset+16+size > int64(len(data)) {
			return headers, fmt.Errorf("ndb: a blob ends behind the file")
		}
		headers = append(headers, data[offset+16:offset+16+size])
	}
	return headers, nil
}

// bdbBlobs reads the values of a Berkeley DB hash that stand on overflow pages.
func bdbBlobs(data []byte, order binary.ByteOrder) ([][]byte, error) {
	page := int(order.Uint32(data[20:]))
	if page < 512 || page > 65536 || page&(page-1) != 0 {
		return nil, fmt.Errorf("store of Berkeley DB: page size %d", page)
	}
	pages := len(data) / page
	var headers [][]byte
	total := 0
	for number := 1; number < pages; number++ {
		p := data[number*page:][:page]
		if kind := p[25]; kind != 13 && kind != 2 {
			continue
		}
		entries := int(order.Uint16(p[20:]))
		if 26+2*entries > page {
			return headers, fmt.Errorf("store of Berkeley DB: page %d has %d entries", number, entries)
		}
		// Keys and values alternate.
		for i := 1; i < entries; i += 2 {
			at := int(order.Uint16(p[26+2*i:]))
			if at+12 > page || p[at] != 3 {
				continue
			}
			next, size := int(order.Uint32(p[at+4:])), int(order.Uint32(p[at+8:]))
			if size <= 0 || size > len(data) {
				return headers, fmt.Errorf("store of Berkeley DB: value of %d bytes on page %d", size, number)
			}
			if total += size; total > 2*len(data) {
				return headers, fmt.Errorf("store of Berkeley DB: values overlap")
			}
			value := make([]byte, 0, size)
			for len(value) < size {
				if next <= 0 || next >= pages {
					return headers, fmt.Errorf("store of Berkeley DB: overflow page %d of %d", next, pages)
				}
				over := data[next*page:][:page]
				used := min(int(order.Uint16(over[22:])), page-26, size-len(value))
				if over[25] != 7 || used <= 0 {
					return headers, fmt.Errorf("store of Berkeley DB: page %d is no overflow page", next)
				}
				value = append(value, over[26:26+used]...)
				next = int(order.Uint32(over[16:]))
			}
			headers = append(headers, value)
		}
	}
	return headers, nil
}

// sqliteFile reads table rows of an SQLite database from its bytes, without its
// engine: the file comes from an image and must not be opened by one.
type sqliteFile struct {
	data   []byte
	page   int
	usable int
	left   int // pages that may still be visited
}

// sqliteBlobs gives the blobs of rpm's table Packages.
func sqliteBlobs(data []byte) ([][]byte, error) {
	if len(data) < 512 {
		return nil, errors.New("SQLite: file too short")
	}
	f := &sqliteFile{data: data, page: int(binary.BigEndian.Uint16(data[16:]))}
	if f.page == 1 {
		f.page = 65536
	}
	if f.page < 512 || f.page&(f.page-1) != 0 {
		return nil, fmt.Errorf("SQLite: page size %d", f.page)
	}
	f.usable = f.page - int(data[20])
	if f.usable < 480 {
		return nil, fmt.Errorf("SQLite: usable page size %d", f.usable)
	}
	f.left = 2 * (len(data)/f.page + 1)
	root := 0
	err := f.table(1, 0, func(row []any) error {
		if len(row) >= 4 && text(row[0]) == "table" && strings.EqualFold(text(row[1]), "Packages") {
			if number, ok := row[3].(int64); ok {
				root = int(number)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if root == 0 {
		return nil, errors.New("SQLite: expected a table Packages, found none")
	}
	var headers [][]byte
	err = f.table(root, 0, func(row []any) error {
		if len(row) >= 2 {
			if blob, ok := row[1].([]byte); ok {
				headers = append(headers, blob)
			}
		}
		return nil
	})
	return headers, err
}

func text(v any) string { s, _ := v.(string); return s }

func (f *sqliteFile) at(number int) ([]byte, error) {
	if f.left--; f.left < 0 {
		return nil, errors.New("SQLite: pages lead to each other")
	}
	if number < 1 || number > len(f.data)/f.page {
		return nil, fmt.Errorf("SQLite: page %d does not exist", number)
	}
	return f.data[(number-1)*f.page:][:f.page], nil
}

// table walks a table's tree.
func (f *sqliteFile) table(number, depth int, yield func(row []any) error) error {
	page, err := f.at(number)
	if err != nil {
		return err
	}
	if depth > 40 {
		return errors.New("SQLite: tree is too deep")
	}
	start := 0
	if number == 1 {
		start = 100
	}
	kind, cells := page[start], int(binary.BigEndian.Uint16(page[start+3:]))
	pointers := start + 8
	if kind == 5 {
		pointers = start + 12
	} else if kind != 13 {
		return fmt.Errorf("SQLite: page %d is no table page", number)
	}
	if pointers+2*cells > f.page {
		return fmt.Errorf("SQLite: page %d has %d cells", number, cells)
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(page[pointers+2*i:]))
		if at+4 > f.usable {
			return fmt.Errorf("SQLite: cell behind page %d", number)
		}
		if kind == 5 {
			if err := f.table(int(binary.BigEndian.Uint32(page[at:])), depth+1, yield); err != nil {
				return err
			}
			continue
		}
		payload, err := f.payload(page, at)
		if err != nil {
			return err
		}
		row, err := record(payload)
		if err != nil {
			return err
		}
		if err := yield(row); err != nil {
			return err
		}
	}
	if kind == 5 {
		return f.table(int(binary.BigEndian.Uint32(page[start+8:])), depth+1, yield)
	}
	return nil
}

// payload gives a leaf cell's content, overflow pages followed.
func (f *sqliteFile) payload(page []byte, at int) ([]byte, error) {
	size, n := varint(page[at:])
	at += n
	_, m := varint(page[min(at, len(page)):])
	at += m
	if n == 0 || m == 0 || size < 0 || size > int64(len(f.data)) {
		return nil, errors.New("SQLite: broken cell")
	}
	most := int64(f.usable - 35)
	local := size
	if size > most {
		least := int64((f.usable-12)*32/255 - 23)
		if local = least + (size-least)%int64(f.usable-4); local > most {
			local = least
		}
	}
	if int64(at)+local > int64(f.usable) {
		return nil, errors.New("SQLite: cell leaves its page")
	}
	if local == size {
		return page[at : at+int(size)], nil
	}
	content := append([]byte{}, page[at:at+int(local)]...)
	if at+int(local)+4 > len(page) {
		return nil, errors.New("SQLite: cell leaves its page")
	}
	next := int(binary.BigEndian.Uint32(page[at+int(local):]))
	for int64(len(content)) < size {
		over, err := f.at(next)
		if err != nil {
			return nil, err
		}
		next = int(binary.BigEndian.Uint32(over))
		content = append(content, over[4:4+min(f.usable-4, int(size)-len(content))]...)
	}
	return content, nil
}

// record decodes the columns of a row.
func record(data []byte) ([]any, error) {
	broken := errors.New("SQLite: broken row")
	head, n := varint(data)
	if n == 0 || head < int64(n) || head > int64(len(data)) {
		return nil, broken
	}
	types, body := data[n:head], data[head:]
	var row []any
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 || kind < 0 {
			return nil, broken
		}
		types = types[n:]
		size := int64(0)
		switch {
		case kind <= 4:
			size = kind
		case kind == 5:
			size = 6
		case kind == 6 || kind == 7:
			size = 8
		case kind >= 12:
			size = (kind - 12) / 2
		}
		if size > int64(len(body)) {
			return nil, broken
		}
		cell := body[:size]
		body = body[size:]
		switch {
		case kind >= 1 && kind <= 6:
			value := int64(int8(cell[0]))
			for _, b := range cell[1:] {
				value = value<<8 | int64(b)
			}
			row = append(row, value)
		case kind == 8 || kind == 9:
			row = append(row, kind-8)
		case kind >= 12 && kind%2 == 0:
			row = append(row, cell)
		case kind >= 13:
			row = append(row, string(cell))
		default:
			row = append(row, nil)
		}
	}
	return row, nil
}

// varint decodes SQLite's big-endian variable integer; length 0 means that it
// is cut.
func varint(data []byte) (int64, int) {
	value := uint64(0)
	for i := range min(len(data), 9) {
		if i == 8 {
			return int64(value<<8 | uint64(data[i])), 9
		}
		value = value<<7 | uint64(data[i]&0x7f)
		if data[i] < 0x80 {
			return int64(value), i + 1
		}
	}
	return 0, 0
}
