// Writes the golden files with superfly/ltx: 0.5.3 for LZ4 blocks and compaction, 0.5.1 for LZ4 frames.
// From this folder: go run . ..
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/superfly/ltx"
	frames "ltxd.invalid/ltx051"
)

type page struct {
	Pgno   uint32 `json:"pgno"`
	Sha256 string `json:"sha256"`
	data   []byte
}

// What a file holds, told independently of its bytes.
type golden struct {
	File              string   `json:"file"`
	Encoding          string   `json:"encoding"`
	Flags             uint32   `json:"flags"`
	PageSize          uint32   `json:"pageSize"`
	Commit            uint32   `json:"commit"`
	MinTXID           ltx.TXID `json:"minTXID"`
	MaxTXID           ltx.TXID `json:"maxTXID"`
	TimestampMs       int64    `json:"timestampMs"`
	PreApplyChecksum  string   `json:"preApplyChecksum"`
	PostApplyChecksum string   `json:"postApplyChecksum"`
	FileChecksum      string   `json:"fileChecksum"`
	WALOffset         int64    `json:"walOffset"`
	WALSize           int64    `json:"walSize"`
	WALSalt1          uint32   `json:"walSalt1"`
	WALSalt2          uint32   `json:"walSalt2"`
	NodeID            string   `json:"nodeId"`
	Pages             []page   `json:"pages"`
	CompactedFrom     []string `json:"compactedFrom,omitempty"`
}

var (
	dir      string
	manifest []golden
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// One of four kinds of content: zeroes, a repeated word, rows of text, noise.
func newPage(pageSize, pgno, seed uint32) page {
	data := make([]byte, pageSize)
	state := pgno*2654435761 + seed + 1
	random := func() byte { state = state*1664525 + 1013904223; return byte(state >> 24) }
	for i := range data {
		switch (pgno + seed) % 4 {
		case 1:
			data[i] = "golden"[i%6]
		case 2:
			data[i] = byte('a' + i%23)
			if i%40 < 8 {
				data[i] = '0' + random()%10
			}
		case 3:
			data[i] = random()
		}
	}
	sum := sha256.Sum256(data)
	return page{pgno, hex.EncodeToString(sum[:]), data}
}

func fill(pageSize, pgno uint32, b byte) page {
	data := bytes.Repeat([]byte{b}, int(pageSize))
	sum := sha256.Sum256(data)
	return page{pgno, hex.EncodeToString(sum[:]), data}
}

func pagesOf(pageSize, seed uint32, pgnos ...uint32) (pages []page) {
	for _, pgno := range pgnos {
		pages = append(pages, newPage(pageSize, pgno, seed))
	}
	return pages
}

func databaseChecksum(database map[uint32][]byte) ltx.Checksum {
	sum := ltx.ChecksumFlag
	for pgno, data := range database {
		sum = ltx.ChecksumFlag | (sum ^ ltx.ChecksumPage(pgno, data))
	}
	return sum
}

func describe(g golden, hdr ltx.Header, trailer ltx.Trailer) {
	g.Flags, g.PageSize, g.Commit = hdr.Flags, hdr.PageSize, hdr.Commit
	g.MinTXID, g.MaxTXID, g.TimestampMs = hdr.MinTXID, hdr.MaxTXID, hdr.Timestamp
	g.PreApplyChecksum, g.PostApplyChecksum = hdr.PreApplyChecksum.String(), trailer.PostApplyChecksum.String()
	g.FileChecksum = trailer.FileChecksum.String()
	g.WALOffset, g.WALSize, g.WALSalt1, g.WALSalt2 = hdr.WALOffset, hdr.WALSize, hdr.WALSalt1, hdr.WALSalt2
	g.NodeID = ltx.TXID(hdr.NodeID).String()
	manifest = append(manifest, g)
}

// Writes with 0.5.3, or, for frames, with 0.5.1.
func write(name, encoding string, hdr ltx.Header, pages []page, post ltx.Checksum) {
	var buf bytes.Buffer
	var trailer ltx.Trailer
	hdr.Version = ltx.Version
	if encoding == "block" {
		enc, err := ltx.NewEncoder(&buf)
		check(err)
		check(enc.EncodeHeader(hdr))
		for _, p := range pages {
			check(enc.EncodePage(ltx.PageHeader{Pgno: p.Pgno}, p.data))
		}
		enc.SetPostApplyChecksum(post)
		check(enc.Close())
		trailer = enc.Trailer()
	} else {
		enc, err := frames.NewEncoder(&buf)
		check(err)
		check(enc.EncodeHeader(frames.Header{
			Version: frames.Version, Flags: hdr.Flags, PageSize: hdr.PageSize, Commit: hdr.Commit,
			MinTXID: frames.TXID(hdr.MinTXID), MaxTXID: frames.TXID(hdr.MaxTXID), Timestamp: hdr.Timestamp,
			PreApplyChecksum: frames.Checksum(hdr.PreApplyChecksum), WALOffset: hdr.WALOffset, WALSize: hdr.WALSize,
			WALSalt1: hdr.WALSalt1, WALSalt2: hdr.WALSalt2, NodeID: hdr.NodeID,
		}))
		for _, p := range pages {
			check(enc.EncodePage(frames.PageHeader{Pgno: p.Pgno}, p.data))
		}
		enc.SetPostApplyChecksum(frames.Checksum(post))
		check(enc.Close())
		trailer = ltx.Trailer{
			PostApplyChecksum: ltx.Checksum(enc.Trailer().PostApplyChecksum),
			FileChecksum:      ltx.Checksum(enc.Trailer().FileChecksum),
		}
	}
	check(ltx.NewDecoder(bytes.NewReader(buf.Bytes())).Verify())
	check(os.WriteFile(filepath.Join(dir, name), buf.Bytes(), 0o644))
	describe(golden{File: name, Encoding: encoding, Pages: pages}, hdr, trailer)
}

// Merges files that have been written, with the reference's own compactor.
func compact(name string, flags uint32, from ...string) {
	var inputs []io.Reader
	for _, input := range from {
		b, err := os.ReadFile(filepath.Join(dir, input))
		check(err)
		inputs = append(inputs, bytes.NewReader(b))
	}
	var buf bytes.Buffer
	c, err := ltx.NewCompactor(&buf, inputs)
	check(err)
	c.HeaderFlags = flags
	check(c.Compact(nil))
	var spec ltx.FileSpec
	_, err = spec.ReadFrom(bytes.NewReader(buf.Bytes()))
	check(err)
	pages := []page{}
	for _, p := range spec.Pages {
		sum := sha256.Sum256(p.Data)
		pages = append(pages, page{Pgno: p.Header.Pgno, Sha256: hex.EncodeToString(sum[:])})
	}
	check(os.WriteFile(filepath.Join(dir, name), buf.Bytes(), 0o644))
	describe(golden{File: name, Encoding: "block", Pages: pages, CompactedFrom: from}, spec.Header, spec.Trailer)
}

// One database of each page size: a snapshot, a change that grows it, one that shrinks it, its end; without checksums a
// snapshot and two changes; pages on both sides of the lock page; and what compaction makes of these.
func writeAll(encoding string, pageSize uint32) {
	prefix := fmt.Sprintf("%s-%d", encoding, pageSize)
	database := map[uint32][]byte{}
	put := func(pages []page) []page {
		for _, p := range pages {
			database[p.Pgno] = p.data
		}
		return pages
	}
	// Noise does not compress: in large pages it would make large files.
	large := pageSize > 4096
	snapshot := []uint32{1, 2, 3, 4, 5}
	if large {
		snapshot = []uint32{1, 2}
	}
	commit := uint32(len(snapshot))
	pages := put(pagesOf(pageSize, 0, snapshot...))
	post := databaseChecksum(database)
	write(prefix+"-snapshot.ltx", encoding, ltx.Header{
		PageSize: pageSize, Commit: commit, MinTXID: 1, MaxTXID: 1, Timestamp: 1700000000000,
	}, pages, post)
	pre := post
	changed := put(pagesOf(pageSize, 1, 1, commit+1))
	post = databaseChecksum(database)
	write(prefix+"-change.ltx", encoding, ltx.Header{
		PageSize: pageSize, Commit: commit + 1, MinTXID: 2, MaxTXID: 2, Timestamp: 1700000001234,
		PreApplyChecksum: pre, WALOffset: 32, WALSize: 8272, WALSalt1: 0xfedcba98, WALSalt2: 1,
		NodeID: 0xffffffffffffffff,
	}, changed, post)
	// Shrinks by two pages.
	pre = post
	delete(database, commit+1)
	delete(database, commit)
	var shrunk []page
	if large {
		shrunk = put(pagesOf(pageSize, 4, 1))
	} else {
		shrunk = put(pagesOf(pageSize, 2, 1, 2))
	}
	post = databaseChecksum(database)
	write(prefix+"-shrink.ltx", encoding, ltx.Header{
		PageSize: pageSize, Commit: commit - 1, MinTXID: 3, MaxTXID: 3, Timestamp: 1700000002000,
		PreApplyChecksum: pre,
	}, shrunk, post)
	write(prefix+"-dropped.ltx", encoding, ltx.Header{
		PageSize: pageSize, Commit: 0, MinTXID: 4, MaxTXID: 4, Timestamp: 1700000004000,
		PreApplyChecksum: post,
	}, []page{}, ltx.ChecksumFlag)
	compact(prefix+"-compacted.ltx", 0, prefix+"-snapshot.ltx", prefix+"-change.ltx", prefix+"-shrink.ltx")
	compact(prefix+"-compacted-partial.ltx", 0, prefix+"-change.ltx", prefix+"-shrink.ltx")
	compact(prefix+"-compacted-dropped.ltx", 0, prefix+"-snapshot.ltx", prefix+"-change.ltx", prefix+"-shrink.ltx",
		prefix+"-dropped.ltx")

	unchecked := func(name string, commit uint32, min, max ltx.TXID, pages []page) string {
		write(prefix+name, encoding, ltx.Header{
			Flags: ltx.HeaderFlagNoChecksum, PageSize: pageSize, Commit: commit, MinTXID: min, MaxTXID: max,
			Timestamp: 1700000003000,
		}, pages, 0)
		return prefix + name
	}
	pgnos := []uint32{2, 4, 9}
	if large {
		pgnos = []uint32{2, 9}
	}
	first := unchecked("-nochecksum.ltx", 9, 4, 7, pagesOf(pageSize, 3, pgnos...))
	next := unchecked("-nochecksum-next.ltx", 6, 7, 8, pagesOf(pageSize, 5, 3, 4))
	compact(prefix+"-compacted-nochecksum.ltx", ltx.HeaderFlagNoChecksum, first, next)
	unchecked("-nochecksum-snapshot.ltx", 2, 1, 3, pagesOf(pageSize, 3, 1, 2))

	lock := ltx.LockPgno(pageSize)
	write(prefix+"-lock.ltx", encoding, ltx.Header{
		PageSize: pageSize, Commit: lock + 1, MinTXID: 2, MaxTXID: 2, Timestamp: 1700000005000,
		PreApplyChecksum: ltx.ChecksumFlag | 1,
	}, []page{fill(pageSize, lock-1, 'a'), fill(pageSize, lock+1, 'z')}, ltx.ChecksumFlag|2)
}

func main() {
	dir = os.Args[1]
	for _, encoding := range []string{"block", "frame"} {
		for pageSize := uint32(512); pageSize <= 65536; pageSize *= 2 {
			writeAll(encoding, pageSize)
		}
	}
	f, err := os.Create(filepath.Join(dir, "manifest.json"))
	check(err)
	enc := json.NewEncoder(f)
	enc.SetIndent("", "  ")
	check(enc.Encode(manifest))
	check(f.Close())
}
