import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { toTXID } from '../ltx/format/types.ts'
import { Snapshots } from '../stream/primary/snapshots.ts'
import { TestPrimary } from '../stream/testing/primary.ts'
import { verifySnapshot } from './snapshot-file.ts'

const directory = temporaryDirectories()

async function setUp() {
  const dir = await directory()
  const node = new TestPrimary(dir)
  const a = node.create('a.db')
  const position = a.commit(3)
  const path = `${dir}/snapshot.ltx`
  const { signal } = new AbortController()
  await new Snapshots(node.temporaryParent).use(a, position.txid, signal, async (snapshot) => {
    const chunks: Uint8Array[] = []
    for await (const chunk of snapshot.bytes()) chunks.push(chunk)
    writeFileSync(path, Buffer.concat(chunks))
  })
  await node.close()
  return { path, position, other: a.positions[0]?.checksum ?? position.checksum }
}

test('a snapshot with the TXID and the checksum that were announced is accepted', async () => {
  const { path, position } = await setUp()
  await expect(verifySnapshot(path, position)).resolves.toBeUndefined()
})

test('a snapshot whose header has another TXID than was announced is rejected', async () => {
  const { path, position } = await setUp()
  const announced = { ...position, txid: toTXID(2n ** 62n) }
  await expect(verifySnapshot(path, announced)).rejects.toThrow(/announced as 4000000000000000.*, but its file is 0000/)
})

test('a snapshot whose trailer has another checksum than was announced is rejected', async () => {
  const { path, position, other } = await setUp()
  await expect(verifySnapshot(path, { ...position, checksum: other })).rejects.toThrow('its file is')
})

test('a file that is no LTX file, or too short for one, is rejected', async () => {
  const { path, position } = await setUp()
  writeFileSync(path, 'x')
  await expect(verifySnapshot(path, position)).rejects.toThrow('its file has 1 bytes')
  writeFileSync(path, new Uint8Array(1_000))
  await expect(verifySnapshot(path, position)).rejects.toThrow('magic')
})
