import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { bindingOf, PositionFile, positionsPath } from './positions.ts'

const POSITION: Position = { txid: 0x1234n as TXID, checksum: 0x8f00ba5eba11ca7en as Checksum }

test('a position with any flipped bit is none; a line as version 0.1 wrote it is one', () => {
  using temporary = temporaryDirectory()
  const database = `${temporary.dir}/a.db`
  const path = positionsPath(database)
  const last = () => {
    const file = PositionFile.open(database)
    file.close()
    return file.last
  }
  const file = PositionFile.open(database)
  file.note(POSITION, true)
  file.close()
  expect(last()).toEqual(POSITION)
  const line = readFileSync(path)
  for (let bit = 0; bit < line.length * 8; bit++) {
    const bytes = Buffer.from(line)
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    writeFileSync(path, bytes)
    const found = last()
    if (bytes[16] !== 0x2f) expect(found, `bit ${bit}`).toBeUndefined()
    else expect(found).toEqual(POSITION)
  }
  writeFileSync(path, '0000000000001234/8f00ba5eba11ca7e\n')
  expect(last()).toEqual(POSITION)
})

test('a record is bound to the file that it was made for, says so in a line that version 0.1 ignores, and wraps round', () => {
  using temporary = temporaryDirectory()
  const database = `${temporary.dir}/a.db`
  const stats = statSync(temporary.dir)
  const reopen = () => {
    const file = PositionFile.open(database)
    file.close()
    return file
  }
  const [binding, other] = [bindingOf(['a.db', 'x']), bindingOf(['a.db', 'y'])]
  const isBound = () => {
    const file = PositionFile.open(database)
    try {
      return [file.isBoundTo(binding, stats), file.isBoundTo(other, stats)]
    } finally {
      file.close()
    }
  }
  let file = PositionFile.open(database)
  file.note(POSITION, true)
  file.close()
  expect(isBound()).toEqual([false, false])
  file = PositionFile.open(database)
  file.reset(POSITION, binding)
  file.close()
  expect(isBound()).toEqual([true, false])
  const text = readFileSync(positionsPath(database), 'latin1')
  expect(text.length).toBe(4 * 34)
  // What version 0.1 reads.
  const lines = [0, 1, 2, 3].map((n) => /^[0-9a-f]{16}.[0-9a-f]{16}\n$/.test(text.slice(n * 34, (n + 1) * 34)))
  expect(lines).toEqual([false, false, false, true])
  file = PositionFile.open(database)
  let last = POSITION
  for (let n = 1n; n <= 2500n; n++) file.note((last = { ...POSITION, txid: (POSITION.txid + n) as TXID }), false)
  file.close()
  expect(statSync(positionsPath(database)).size).toBe(1024 * 34)
  expect(reopen().last).toEqual(last)
  expect(isBound()).toEqual([true, false])
  writeFileSync(positionsPath(database), text.replace('positions 2', 'positions 3'))
  expect(reopen).toThrow(/has format 3, but ltxd .* knows only 2/)
})
