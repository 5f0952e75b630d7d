import { callsOf } from './libc.ts'

/** From <unistd.h> and <errno.h> of Linux. */
const SEEK_DATA = 3
const SEEK_HOLE = 4
const ENXIO = 6

interface Seek {
  /** -1 after an error, whose number `errno` returns. */
  lseek(fd: number, offset: number, whence: number): number
  errno(): number
}

export interface Range {
  readonly from: number
  readonly to: number
}

const seekOf = callsOf<Seek>((libc, koffi) => {
  const lseek = libc.func('lseek', 'int64', ['int', 'int64', 'int'])
  return { lseek: (...args) => Number(lseek(...args)), errno: () => koffi.errno() }
})

/**
 * Where a file of `sizeBytes` has data, found without reading its holes, of which others can make any number of bytes.
 * All of it where the file system, or this machine, does not tell. Moves the offset of the descriptor. The file must
 * be synced: some versions of ZFS take what is not on the disk yet for a hole.
 */
export function* dataRanges(fd: number, sizeBytes: number): Generator<Range> {
  for (let at = 0; at < sizeBytes;) {
    const next = nextData(fd, at, sizeBytes)
    if (next === undefined) return
    yield next
    at = next.to
  }
}

function nextData(fd: number, at: number, sizeBytes: number): Range | undefined {
  const calls = seekOf()
  if (calls === undefined) return { from: at, to: sizeBytes }
  const from = calls.lseek(fd, at, SEEK_DATA)
  if (from < 0) return calls.errno() === ENXIO ? undefined : { from: at, to: sizeBytes }
  const to = calls.lseek(fd, from, SEEK_HOLE)
  if (from >= sizeBytes) return undefined
  return { from, to: to > from ? Math.min(to, sizeBytes) : sizeBytes }
}
