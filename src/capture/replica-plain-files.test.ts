import { expect, test } from 'vitest'
import { Rig } from '../../test/harness/in-process/rig.ts'
import { SOLE } from './authority.ts'

test('a plain file can be written on a replica', () => {
  using rig = new Rig({ authority: { ...SOLE, leads: false } })
  const file = rig.node.mount.open('notes.txt', { create: true, exclusive: false, readOnly: false })
  file.write(Buffer.from('text'), 0)
  file.close()
  expect(rig.backing('notes.txt').toString()).toBe('text')
})

test('a plain file becomes no database on a replica, in however small pieces its header is written', () => {
  using rig = new Rig({ authority: { ...SOLE, leads: false } })
  const file = rig.node.mount.open('b.db', { create: true, exclusive: false, readOnly: false })
  const magic = Buffer.from('SQLite format 3\0')
  for (let i = 1; i < magic.length; i++) file.write(magic.subarray(i, i + 1), i)
  expect(() => file.write(magic.subarray(0, 1), 0)).toThrow(/replica|primary/)
  file.close()
  expect(rig.backing('b.db')[0]).toBe(0)
})
