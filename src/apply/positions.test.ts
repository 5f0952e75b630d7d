import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { PositionFile, positionsPath } from './positions.ts'

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
