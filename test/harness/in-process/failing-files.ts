import { FsError } from '../../../src/fuse/errno.ts'
import type { Files } from '../../../src/util/files.ts'

export type FailingOperation = 'write' | 'truncate' | 'sync' | 'unlink'

/**
 * Files on which chosen operations fail: those for which `failure` returns an errno. A failed write leaves half of its
 * bytes behind, or all.
 */
export function failingFiles(
  files: Files,
  failure: (operation: FailingOperation, path: string) => 'ENOSPC' | 'EIO' | undefined,
  left: 'half' | 'all' = 'half',
): Files {
  const paths = new Map<number, string>()
  const check = (operation: FailingOperation, path: string, before: () => void = () => {}) => {
    const code = failure(operation, path)
    if (code === undefined) return
    before()
    throw new FsError(code, `${operation} of ${path} fails by the test's choice`)
  }
  const of = (fd: number) => paths.get(fd) ?? ''
  return {
    ...files,
    open(path, flags, mode) {
      const fd = files.open(path, flags, mode)
      paths.set(fd, path)
      return fd
    },
    write(fd, from, at, length, position) {
      check('write', of(fd), () => files.write(fd, from, at, left === 'all' ? length : length >> 1, position))
      files.write(fd, from, at, length, position)
    },
    truncate(fd, sizeBytes) {
      check('truncate', of(fd))
      files.truncate(fd, sizeBytes)
    },
    sync(fd) {
      check('sync', of(fd))
      files.sync(fd)
    },
    unlink(path) {
      check('unlink', path)
      files.unlink(path)
    },
  }
}
