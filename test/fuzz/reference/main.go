// Puts superfly/ltx at the disposal of tests: reads questions from standard input and answers each on standard output.
//
// A question: a byte that says what is asked, the size of what follows (big-endian, 32 bits), and a file or files.
// An answer: a byte that says what came out, the size of what follows, and bytes or a reason.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"
)

const (
	askVerify  = 'v' // a file: is it accepted, and what is in it?
	askCompact = 'c' // header flags and files: what does the compactor make of them?

	answerAccepted = 'a'
	answerRejected  = 'r'
	answerPanicked = 'p'
	answerLate     = 'l'
)

// A file that takes longer ends this process: nothing else can stop the goroutine that reads it.
const deadline = time.Minute

type answer struct {
	outcome byte
	body    []byte
}

// Garbage is collected when there is this much: its LZ4 readers take up to 16 MiB for a frame, and give it to a pool that
// each collection empties.
const memoryLimit = 512 << 20

func main() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	for {
		what, body, err := readQuestion(in)
		if err == io.EOF {
			flush(out)
			return
		} else if err != nil {
			fail(err)
		}
		result := make(chan answer, 1)
		go func() { result <- reply(what, body) }()
		timer := time.NewTimer(deadline)
		select {
		case a := <-result:
			timer.Stop()
			write(out, a)
		case <-timer.C:
			write(out, answer{answerLate, fmt.Appendf(nil, "no answer within %s", deadline)})
			flush(out)
			os.Exit(3)
		}
		if in.Buffered() == 0 {
			flush(out)
		}
	}
}

func reply(what byte, body []byte) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			a = answer{answerPanicked, fmt.Appendf(nil, "%v\n%s", r, debug.Stack())}
		}
	}()
	var content []byte
	var err error
	switch what {
	case askVerify:
		content, err = verify(body)
	case askCompact:
		content, err = compact(body)
	default:
		fail(fmt.Errorf("nobody asks %q", what))
	}
	if err != nil {
		return answer{answerRejected, []byte(err.Error())}
	}
	return answer{answerAccepted, content}
}

func readQuestion(in *bufio.Reader) (byte, []byte, error) {
	what, err := in.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(in, body); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return what, body, nil
}

func write(out *bufio.Writer, a answer) {
	head := binary.BigEndian.AppendUint32([]byte{a.outcome}, uint32(len(a.body)))
	if _, err := out.Write(append(head, a.body...)); err != nil {
		fail(err)
	}
}

func flush(out *bufio.Writer) {
	if err := out.Flush(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "reference:", err)
	os.Exit(1)
}
