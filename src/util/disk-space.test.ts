import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { assertDiskSpace, DiskSpaceError } from './disk-space.ts'

test('a file that would fill the disk is rejected before it is written, with both sizes', async () => {
  await expect(assertDiskSpace('a test', tmpdir(), 1)).resolves.toBeUndefined()
  const failure = assertDiskSpace('a test', tmpdir(), 2 ** 52)
  await expect(failure).rejects.toThrow(DiskSpaceError)
  await expect(failure).rejects.toThrow(/a test needs 4503599627370496 bytes in .*, where \d+ are free/)
})
