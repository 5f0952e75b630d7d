import { expect, test } from 'vitest'
import { MountWatch } from './mount-watch.ts'
import { parseMountinfo } from './mountinfo.ts'

const OURS = '301 27 0:50 / /srv/a rw - fuse.ltxd ltxd rw\n'
const ABOVE = '302 301 0:51 / /srv/a rw - tmpfs tmpfs rw\n'
const ANOTHER = '303 27 0:52 / /srv/a rw - fuse.ltxd ltxd rw\n'

/** How often the watch has called, after each of these looks; an Error is one that fails. */
function calls(...looks: (string | Error)[]): number[] {
  let text: string | Error = OURS
  let gone = 0
  const watch = new MountWatch(
    '/srv/a',
    () => gone++,
    () => {
      if (text instanceof Error) throw text
      return parseMountinfo(text)
    },
  )
  return looks.map((look) => {
    text = look
    watch.look()
    return gone
  })
}

test('a mount that two looks in a row do not find is gone', () => {
  expect(calls(OURS, '', '')).toEqual([0, 0, 1])
})

test('one look without it is none, nor is something mounted over it', () => {
  expect(calls('', OURS, '', OURS, OURS + ABOVE, OURS + ABOVE)).toEqual([0, 0, 0, 0, 0, 0])
})

test('another mount in its place is not it', () => {
  expect(calls(ANOTHER, ANOTHER)).toEqual([0, 1])
})

test('a look that fails says nothing', () => {
  expect(calls('', new Error('EMFILE'), '', OURS)).toEqual([0, 0, 1, 1])
  expect(calls(new Error('EMFILE'), new Error('EMFILE'))).toEqual([0, 0])
})
