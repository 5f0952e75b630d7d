import { expect, test } from 'vitest'
import { requireLinux } from './platform.ts'

test('systems without Linux’s FUSE are told what to do', () => {
  expect(() => requireLinux('linux')).not.toThrow()
  expect(() => requireLinux('darwin')).toThrow(/this is macOS; run it in a container/)
  expect(() => requireLinux('win32')).toThrow(/this is Windows; run it in a container/)
  expect(() => requireLinux('freebsd')).toThrow(expect.objectContaining({ code: 'PLATFORM_UNSUPPORTED', exitCode: 1 }))
})
