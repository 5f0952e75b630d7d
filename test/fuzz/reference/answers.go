package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/superfly/ltx"
)

// Accepts and rejects as `ltx verify` does. Of a file that is accepted: the SHA-256 of its header, of number and data of
// each page, and of its trailer, as 100, 4 + page size, and 16 bytes.
func verify(file []byte) ([]byte, error) {
	if err := ltx.NewDecoder(bytes.NewReader(file)).Verify(); err != nil {
		return nil, err
	}

	dec := ltx.NewDecoder(bytes.NewReader(file))
	if err := dec.DecodeHeader(); err != nil {
		panic(err)
	}
	header := dec.Header()
	b, err := header.MarshalBinary()
	if err != nil {
		panic(err)
	}
	hash := sha256.New()
	hash.Write(b)
	data := make([]byte, header.PageSize)
	for {
		var page ltx.PageHeader
		if err := dec.DecodePage(&page, data); err == io.EOF {
			break
		} else if err != nil {
			panic(err)
		}
		hash.Write(binary.BigEndian.AppendUint32(nil, page.Pgno))
		hash.Write(data)
	}
	if err := dec.Close(); err != nil {
		panic(err)
	}
	trailer := dec.Trailer()
	if b, err = trailer.MarshalBinary(); err != nil {
		panic(err)
	}
	hash.Write(b)
	return hash.Sum(nil), nil
}

// The body: header flags, then files, each with its size before it; all sizes and flags have 32 bits.
func compact(body []byte) ([]byte, error) {
	flags, rest := binary.BigEndian.Uint32(body), body[4:]
	var inputs []io.Reader
	for len(rest) > 0 {
		size := binary.BigEndian.Uint32(rest)
		inputs = append(inputs, bytes.NewReader(rest[4:4+size]))
		rest = rest[4+size:]
	}
	var out bytes.Buffer
	compactor, err := ltx.NewCompactor(&out, inputs)
	if err != nil {
		return nil, err
	}
	compactor.HeaderFlags = flags
	if err := compactor.Compact(context.Background()); err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	return out.Bytes(), nil
}
