import { expect, test } from 'vitest'
import { holdsWriteLock } from './file-locks.ts'

const LOCKS = `1: POSIX  ADVISORY  READ  812 00:3c:77 1073741826 1073742335
2: POSIX  ADVISORY  WRITE 812 00:3c:78 1073741825 1073741825
2: -> POSIX  ADVISORY  WRITE 900 00:3c:79 1073741825 1073741825
3: OFDLCK ADVISORY  WRITE -1 00:3c:80 0 0
5: POSIX  ADVISORY  WRITE 17 00:3c:80 5 EOF
4: FLOCK  ADVISORY  WRITE 17 fd:01:77 0 EOF
`

test('a file is write-locked by the lock of a process, not by a reader, a waiter, or a lock on another file', () => {
  const locked = [77, 78, 79, 80, 81].filter((inode) => holdsWriteLock(LOCKS, '0:60', inode))
  expect(locked).toEqual([78, 80])
  const reserved = 1073741825
  const at = [78, 80].filter((inode) => holdsWriteLock(LOCKS, '0:60', inode, reserved + 1))
  expect(at).toEqual([80])
  expect(holdsWriteLock(LOCKS, '0:60', 78, reserved)).toBe(true)
})
