import { expect, test } from 'vitest'
import { type ChainLink, joint } from './chain.ts'
import { type Header, NO_CHECKSUM } from './format/header.ts'
import { type Checksum, toTXID } from './format/types.ts'
import { header } from './testing.ts'

const A = 0x8000_0000_0000_00aan as Checksum
const B = 0x8000_0000_0000_00bbn as Checksum

function link(
  min: number,
  max: number,
  pre: Checksum | 0n,
  post: Checksum | 0n,
  fields: Partial<Header> = {},
): ChainLink {
  const place = { minTXID: toTXID(min), maxTXID: toTXID(max), preApplyChecksum: pre }
  return { header: header({ ...place, ...fields }), trailer: { postApplyChecksum: post, fileChecksum: A } }
}

test.each([
  ['right behind it, from its checksum', link(1, 3, 0n, A), link(4, 4, A, B), true],
  ['overlapping it', link(2, 5, A, B), link(4, 7, A, B), false],
  ['without checksums', link(2, 2, 0n, 0n, { flags: NO_CHECKSUM }), link(3, 3, 0n, 0n, { flags: NO_CHECKSUM }), false],
  ['with checksums behind one without', link(2, 2, 0n, 0n, { flags: NO_CHECKSUM }), link(3, 3, A, B), false],
  ['a snapshot, of other pages', link(2, 2, A, B), link(1, 3, 0n, B, { pageSize: 1024 }), false],
])('a file continues the one before it: %s', (_, before, after, checksums) => {
  expect(joint(before, after)).toEqual({ problem: undefined, checksums })
})

test.each([
  ['a gap', link(1, 3, 0n, A), link(5, 5, A, B), 'TXIDs', /^0{15}5-0{15}5: expected to begin at 0{15}4 or before/],
  ['nothing new', link(2, 5, A, B), link(4, 5, A, B), 'TXIDs', /^0{15}4-0{15}5: expected to end after 0{15}5/],
  ['the same file', link(2, 2, A, B), link(2, 2, A, B), 'TXIDs', /expected to end after/],
  ['another history', link(1, 3, 0n, A), link(4, 4, B, A), 'pre-apply checksum', /^80{13}bb: expected 80{13}aa$/],
  ['other pages', link(1, 3, 0n, A), link(4, 4, A, B, { pageSize: 1024 }), 'page size', /^1024: expected 512$/],
])('a file does not continue the one before it: %s', (_, before, after, field, message) => {
  expect(joint(before, after)).toMatchObject({ problem: { field, problem: expect.stringMatching(message) as string } })
})
