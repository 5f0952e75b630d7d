import { expect, test } from 'vitest'
import { requireLinux } from './platform.ts'

test('a mount on a system without Linux’s FUSE fails with advice', () => {
  expect(() => requireLinux('linux')).not.toThrow()
  expect(() => requireLinux('darwin')).toThrow(/this is macOS; run it in a container/)
  expect(() => requireLinux('win32')).toThrow(/this is Windows; run it in a container/)
  expect(() => requireLinux('freebsd')).toThrow(expect.objectContaining({ code: 'PLATFORM_UNSUPPORTED', exitCode: 1 }))
})
