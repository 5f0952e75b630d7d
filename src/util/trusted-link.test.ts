import { expect, test } from 'vitest'
import { ForeignLinkError } from './named-directory.ts'
import { unmapped } from './trusted-link.ts'

test.each([
  ['the machine itself', '         0          0 4294967295\n', undefined],
  ['root in a namespace of root’s', '0 0 1\n', undefined],
  ['a namespace of one user’s', '         0       1000          1\n', 65_534n],
  ['a container with subordinate ids', '0 1000 1\n1 100000 65536\n', undefined],
  ['a container with few of them', '0 1000 1\n1 100000 1000\n', 65_534n],
  ['a namespace that has root under another id', '0 1000 1\n1 0 1\n', undefined],
])('in %s files of unmapped users are those of root or not', (_, map, expected) => {
  expect(unmapped(map, 65_534n)).toBe(expected)
})

test('a link of the user who ran sudo is named as such, with where it leads', () => {
  const before = process.env.SUDO_UID
  process.env.SUDO_UID = '1000'
  const { message } = new ForeignLinkError('/home/a/data', { uid: 1000n, target: '/srv/data', isMovable: false })
  if (before === undefined) delete process.env.SUDO_UID
  else process.env.SUDO_UID = before
  expect(message).toBe(
    '/home/a/data is a symbolic link of the user with id 1000, who ran sudo, who could lead ltxd anywhere: ' +
      'name the directory itself (it leads to /srv/data)',
  )
})
