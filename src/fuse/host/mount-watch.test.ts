import { expect, test } from 'vitest'
import { MountWatch } from './mount-watch.ts'
import { parseMountinfo } from './mountinfo.ts'

const OURS = '301 27 0:50 / /srv/a rw - fuse.ltxd ltxd rw\n'
const ABOVE = '302 301 0:51 / /srv/a rw - tmpfs tmpfs rw\n'
const ANOTHER = '303 27 0:52 / /srv/a rw - fuse.ltxd ltxd rw\n'

/** How often the watch has called `gone`, after each of these reads of mountinfo. An Error is a read that fails. */
function calls(...reads: (string | Error)[]): number[] {
  let text: string | Error = OURS
  let gone = 0
  const watch = new MountWatch(
    { mountPoint: '/srv/a', device: '0:50' },
    () => gone++,
    () => {
      if (text instanceof Error) throw text
      return parseMountinfo(text)
    },
  )
  return reads.map((read) => {
    text = read
    watch.check()
    return gone
  })
}

test('a mount that is missing in two checks in a row is gone', () => {
  expect(calls(OURS, '', '')).toEqual([0, 0, 1])
})

test('a mount that is missing in one check, or is mounted over, is not gone', () => {
  expect(calls('', OURS, '', OURS, OURS + ABOVE, OURS + ABOVE)).toEqual([0, 0, 0, 0, 0, 0])
})

test('another mount at the same place does not count as the mount', () => {
  expect(calls(ANOTHER, ANOTHER)).toEqual([0, 1])
})

test('a check that fails does not count', () => {
  expect(calls('', new Error('EMFILE'), '', OURS)).toEqual([0, 0, 1, 1])
  expect(calls(new Error('EMFILE'), new Error('EMFILE'))).toEqual([0, 0])
})
