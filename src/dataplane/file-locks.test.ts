import { expect, test } from 'vitest'
import { deviceOf, holdsWriteLock } from './file-locks.ts'

const MOUNTS = `25 30 0:23 / /proc rw - proc proc rw
90 30 0:44 / /mnt/a\\040b rw - fuse.ltxd ltxd rw
91 30 0:60 / /mnt/a\\040b rw - fuse.ltxd ltxd rw
`

const LOCKS = `1: POSIX  ADVISORY  READ  812 00:3c:77 1073741826 1073742335
2: POSIX  ADVISORY  WRITE 812 00:3c:78 1073741825 1073741825
2: -> POSIX  ADVISORY  WRITE 900 00:3c:79 1073741825 1073741825
3: OFDLCK ADVISORY  WRITE -1 00:3c:80 0 0
5: POSIX  ADVISORY  WRITE 17 00:3c:80 5 EOF
4: FLOCK  ADVISORY  WRITE 17 fd:01:77 0 EOF
`

test('a file is write-locked by the lock of a process, not by a reader, a waiter, or a lock on another file', () => {
  expect(deviceOf('/mnt/a b', MOUNTS)).toBe('0:60')
  expect(deviceOf('/mnt', MOUNTS)).toBeUndefined()
  const locked = [77, 78, 79, 80, 81].filter((inode) => holdsWriteLock(LOCKS, '0:60', inode))
  expect(locked).toEqual([78, 80])
  const reserved = 1073741825
  const at = [78, 80].filter((inode) => holdsWriteLock(LOCKS, '0:60', inode, reserved + 1))
  expect(at).toEqual([80])
  expect(holdsWriteLock(LOCKS, '0:60', 78, reserved)).toBe(true)
})
