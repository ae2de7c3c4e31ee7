package image

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"
)

// rpmHeaderOf makes a package header of string tags.
func rpmHeaderOf(tags map[uint32]string) []byte {
	var index, store bytes.Buffer
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		for _, v := range []uint32{tag, 6, uint32(store.Len()), 1} {
			index.Write(binary.BigEndian.AppendUint32(nil, v))
		}
		store.WriteString(tags[tag] + "\x00")
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(tags)))
	head = binary.BigEndian.AppendUint32(head, uint32(store.Len()))
	return append(append(head, index.Bytes()...), store.Bytes()...)
}

func ndbOf(headers ...[]byte) []byte {
	u32 := binary.LittleEndian.AppendUint32
	data := append([]byte("RpmP"), make([]byte, 4096-4)...)
	binary.LittleEndian.PutUint32(data[12:], 1)
	for i := 32; i < 4096; i += 16 {
		copy(data[i:], "Slot")
	}
	for i, header := range headers {
		slot := data[32+16*i:]
		binary.LittleEndian.PutUint32(slot[4:], uint32(i+1))
		binary.LittleEndian.PutUint32(slot[8:], uint32(len(data)/16))
		blob := append([]byte("BlbS"), u32(u32(u32(nil, uint32(i+1)), 1), uint32(len(header)))...)
		blob = append(blob, header...)
		data = append(data, append(blob, make([]byte, 16-len(blob)%16)...)...)
	}
	return data
}

// bdbOf makes a hash whose values stand on overflow pages.
func bdbOf(headers ...[]byte) []byte {
	const page = 512
	put := binary.LittleEndian.PutUint32
	data := make([]byte, 2*page)
	put(data[12:], 0x00061561)
	put(data[20:], page)
	data[25] = 8
	hash := data[page:]
	hash[25] = 13
	binary.LittleEndian.PutUint16(hash[20:], uint16(2*len(headers)))
	at := page
	type over struct {
		at     int
		number uint32
		size   int
	}
	var overs []over
	next := uint32(2)
	var tail []byte
	for i, header := range headers {
		at -= 4
		binary.LittleEndian.PutUint16(hash[26+4*i:], uint16(at))
		at -= 12
		binary.LittleEndian.PutUint16(hash[28+4*i:], uint16(at))
		overs = append(overs, over{at, next, len(header)})
		for len(header) > 0 {
			p := make([]byte, page)
			n := copy(p[26:], header)
			header = header[n:]
			p[25] = 7
			binary.LittleEndian.PutUint16(p[22:], uint16(n))
			next++
			if len(header) > 0 {
				put(p[16:], next)
			}
			tail = append(tail, p...)
		}
	}
	for _, o := range overs {
		hash[o.at] = 3
		put(hash[o.at+4:], o.number)
		put(hash[o.at+8:], uint32(o.size))
	}
	return append(data, tail...)
}

func TestEveryStoreOfRPMIsRead(t *testing.T) {
	t.Parallel()
	long := string(bytes.Repeat([]byte("x"), 9000)) // spills over pages
	headers := [][]byte{
		rpmHeaderOf(map[uint32]string{1000: "bash", 1001: "5.1.8", 1002: "6.el9", 1022: "x86_64", 1044: "bash-5.1.8-6.el9.src.rpm", 5000: long}),
		rpmHeaderOf(map[uint32]string{1000: "openssl-libs", 1001: "3.0.7", 1002: "2.el9", 1003: "\x00\x00\x00\x01", 1022: "x86_64", 1044: "openssl-3.0.7-2.el9.src.rpm"}),
		rpmHeaderOf(map[uint32]string{1000: "gpg-pubkey", 1001: "1", 1002: "2"}),
	}
	name := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE TABLE Basenames (hnum INTEGER, key TEXT)", "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"} {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, header := range headers {
		if _, err := db.Exec("INSERT INTO Packages (blob) VALUES (?)", header); err != nil {
			t.Fatal(err)
		}
	}
	// Enough rows for a tree of several levels.
	for range 3000 {
		if _, err := db.Exec("INSERT INTO Packages (blob) VALUES (?)", headers[2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	sqlite, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := []Installed{
		{Name: "bash", Version: "5.1.8-6.el9", Arch: "x86_64"},
		{Name: "openssl-libs", Version: "1:3.0.7-2.el9", Arch: "x86_64", Source: "openssl", SourceVer: "3.0.7-2.el9"},
	}
	for store, data := range map[string][]byte{"SQLite": sqlite, "ndb": ndbOf(headers...), "Berkeley DB": bdbOf(headers...)} {
		got, err := parseRPM(data)
		if err != nil {
			t.Errorf("%s: %v", store, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", store, diff)
		}
	}
	if _, err := parseRPM([]byte("nothing that is known")); err == nil {
		t.Error("an unknown store was read")
	}
}

func TestPagesThatLeadToEachOtherEnd(t *testing.T) {
	t.Parallel()
	data := make([]byte, 2*512)
	copy(data, "SQLite format 3\x00\x02\x00")
	// Page 1 is an inner page whose right child is itself.
	data[100], data[111] = 5, 1
	if _, err := parseRPM(data); err == nil {
		t.Error("a tree that contains itself was read")
	}
}
