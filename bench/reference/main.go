// Reference does with superfly/ltx what bench/ltx/child.ts does with ltxd: one task, and its cost as a line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/pierrec/lz4/v4"
	"github.com/superfly/ltx"
)

const (
	pageSize   = 4096
	bufferSize = 256 * 1024
)

type cost struct {
	Operations int     `json:"operations"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
	PeakBytes  int64   `json:"peakBytes"`
	// Bytes after by bytes before, of what was compressed.
	Share float64 `json:"share,omitempty"`
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: reference compact|verify|encode|crc|compress|decompress ARGUMENT..."))
	}
	task, args := os.Args[1], os.Args[2:]
	tasks := map[string]func([]string) (func() (int, float64, error), error){
		"compact":    compact,
		"verify":     verify,
		"encode":     encode,
		"crc":        crc,
		"compress":   compress,
		"decompress": decompress,
	}
	prepare, ok := tasks[task]
	if !ok {
		fail(fmt.Errorf("unknown task %s", task))
	}
	run, err := prepare(args)
	if err != nil {
		fail(err)
	}
	cpuBefore, start := cpuSeconds(), time.Now()
	operations, share, err := run()
	if err != nil {
		fail(err)
	}
	seconds, cpu := time.Since(start).Seconds(), cpuSeconds()-cpuBefore
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	out := cost{operations, seconds, cpu, usage.Maxrss * 1024, share}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

// compact OUT IN...
func compact(args []string) (func() (int, float64, error), error) {
	return func() (int, float64, error) {
		out, err := os.Create(args[0])
		if err != nil {
			return 0, 0, err
		}
		var readers []io.Reader
		for _, name := range args[1:] {
			file, err := os.Open(name)
			if err != nil {
				return 0, 0, err
			}
			defer file.Close()
			readers = append(readers, bufio.NewReaderSize(file, 64*1024))
		}
		w := bufio.NewWriterSize(out, bufferSize)
		compactor, err := ltx.NewCompactor(w, readers)
		if err != nil {
			return 0, 0, err
		}
		compactor.HeaderFlags = ltx.HeaderFlagNoChecksum
		if err := compactor.Compact(context.Background()); err != nil {
			return 0, 0, err
		}
		if err := w.Flush(); err != nil {
			return 0, 0, err
		}
		return 1, 0, out.Close()
	}, nil
}

// verify FILE
func verify(args []string) (func() (int, float64, error), error) {
	return func() (int, float64, error) {
		file, err := os.Open(args[0])
		if err != nil {
			return 0, 0, err
		}
		defer file.Close()
		decoder := ltx.NewDecoder(bufio.NewReaderSize(file, bufferSize))
		decoder.SetRetainPageIndex(false)
		if err := decoder.Verify(); err != nil {
			return 0, 0, err
		}
		return decoder.PageN(), 0, nil
	}, nil
}

// encode DATABASE OUT
func encode(args []string) (func() (int, float64, error), error) {
	return func() (int, float64, error) {
		database, err := os.Open(args[0])
		if err != nil {
			return 0, 0, err
		}
		defer database.Close()
		info, err := database.Stat()
		if err != nil {
			return 0, 0, err
		}
		out, err := os.Create(args[1])
		if err != nil {
			return 0, 0, err
		}
		w := bufio.NewWriterSize(out, bufferSize)
		encoder, err := ltx.NewEncoder(w)
		if err != nil {
			return 0, 0, err
		}
		commit := uint32(info.Size() / pageSize)
		header := ltx.Header{
			Version: ltx.Version, Flags: ltx.HeaderFlagNoChecksum, PageSize: pageSize, Commit: commit,
			MinTXID: 1, MaxTXID: 1, Timestamp: 1_700_000_000_000,
		}
		if err := encoder.EncodeHeader(header); err != nil {
			return 0, 0, err
		}
		reader, page := bufio.NewReaderSize(database, bufferSize), make([]byte, pageSize)
		for pgno := uint32(1); pgno <= commit; pgno++ {
			if _, err := io.ReadFull(reader, page); err != nil {
				return 0, 0, err
			}
			if err := encoder.EncodePage(ltx.PageHeader{Pgno: pgno}, page); err != nil {
				return 0, 0, err
			}
		}
		if err := encoder.Close(); err != nil {
			return 0, 0, err
		}
		if err := w.Flush(); err != nil {
			return 0, 0, err
		}
		share := float64(encoder.N()) / float64(info.Size())
		return int(commit), share, out.Close()
	}, nil
}

// samples reads every stride-th page: FILE STRIDE.
func samples(args []string) ([][]byte, error) {
	stride, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, err
	}
	file, err := os.Open(args[0])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var pages [][]byte
	for n := 0; ; n += stride {
		page := make([]byte, pageSize)
		if _, err := file.ReadAt(page, int64(n)*pageSize); err == io.EOF {
			return pages, nil
		} else if err != nil {
			return nil, err
		}
		pages = append(pages, page)
	}
}

// repeat does all the work again and again for a second.
func repeat(each int, work func() error) (int, float64, error) {
	done := 0
	for start := time.Now(); time.Since(start) < time.Second; done += each {
		if err := work(); err != nil {
			return 0, 0, err
		}
	}
	return done, 0, nil
}

// crc FILE STRIDE
func crc(args []string) (func() (int, float64, error), error) {
	pages, err := samples(args)
	table := crc64.MakeTable(crc64.ISO)
	return func() (int, float64, error) {
		return repeat(len(pages), func() error {
			for _, page := range pages {
				crc64.Checksum(page, table)
			}
			return nil
		})
	}, err
}

// compress FILE STRIDE
func compress(args []string) (func() (int, float64, error), error) {
	pages, err := samples(args)
	var compressor lz4.Compressor
	block := make([]byte, lz4.CompressBlockBound(pageSize))
	return func() (int, float64, error) {
		bytes := 0
		operations, _, err := repeat(len(pages), func() error {
			for _, page := range pages {
				n, err := compressor.CompressBlock(page, block)
				if err != nil {
					return err
				}
				bytes += n
			}
			return nil
		})
		return operations, float64(bytes) / float64(operations*pageSize), err
	}, err
}

// decompress FILE: blocks, each behind its size in four bytes.
func decompress(args []string) (func() (int, float64, error), error) {
	bytes, err := os.ReadFile(args[0])
	if err != nil {
		return nil, err
	}
	var blocks [][]byte
	for len(bytes) > 0 {
		end := 4 + int(binary.BigEndian.Uint32(bytes))
		blocks = append(blocks, bytes[4:end])
		bytes = bytes[end:]
	}
	page := make([]byte, pageSize)
	return func() (int, float64, error) {
		return repeat(len(blocks), func() error {
			for _, block := range blocks {
				if _, err := lz4.UncompressBlock(block, page); err != nil {
					return err
				}
			}
			return nil
		})
	}, nil
}
