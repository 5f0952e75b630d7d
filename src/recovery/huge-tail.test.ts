import fs from 'node:fs'
import { expect, test } from 'vitest'
import { withBoundedMemory } from '../../test/harness/allocations.ts'
import { InProcessNode, temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { RECORD_FRAME_SIZE, writeRecordFrame } from '../log/record.ts'
import { logDirectory } from '../log/store.ts'

/** More than one read, or one buffer, holds. */
const HUGE_BYTES = Math.floor(2.1 * 2 ** 30)
const MEMORY_BYTES = 32 << 20

/**
 * What a kill left of `a.db` and `b.db`, before a transaction of `a.db`. `write` adds what the log holds of that
 * transaction's record. Returns the path of the segment.
 */
function leave(dir: string, write: (segment: string, record: Uint8Array) => void): string {
  using rig = new Rig()
  for (const name of ['a.db', 'b.db']) rig.open('delete', 30, name).close()
  rig.node.maintain('a.db')
  fs.cpSync(rig.dir, dir, { recursive: true })
  const name = fs.readdirSync(logDirectory(dir, 'a.db')).find((file) => file.endsWith('.ltxlog')) ?? ''
  const segment = `${logDirectory(dir, 'a.db')}/${name}`
  rig.engine.open('a.db').exec(insert(31, 60))
  write(segment, fs.readFileSync(`${logDirectory(rig.dir, 'a.db')}/${name}`).subarray(fs.statSync(segment).size))
  return segment
}

function hugeFrame(): Uint8Array {
  const frame = new Uint8Array(RECORD_FRAME_SIZE)
  writeRecordFrame(frame, HUGE_BYTES)
  return frame
}

const KINDS: Record<string, (segment: string, record: Uint8Array) => void> = {
  'cut short': (segment, record) => {
    fs.appendFileSync(segment, hugeFrame())
    fs.appendFileSync(segment, record.subarray(RECORD_FRAME_SIZE))
  },
  'with a hole to its end': (segment, record) => {
    const at = fs.statSync(segment).size
    KINDS['cut short']?.(segment, record)
    fs.truncateSync(segment, at + RECORD_FRAME_SIZE + HUGE_BYTES)
  },
  'without its frame': (segment, record) => {
    const at = fs.statSync(segment).size
    fs.truncateSync(segment, at + RECORD_FRAME_SIZE)
    fs.appendFileSync(segment, record.subarray(RECORD_FRAME_SIZE))
    fs.truncateSync(segment, at + HUGE_BYTES)
  },
}

test.each(Object.entries(KINDS))(
  'a torn record of more than 2 GiB, %s, is cut in bounded memory, and every database is served',
  async (_, write) => {
    using temporary = temporaryDirectory()
    const dir = `${temporary.dir}/data`
    const segment = leave(dir, write)
    const node = await withBoundedMemory(() => new InProcessNode({ dataDir: dir }), MEMORY_BYTES)
    for (const name of ['a.db', 'b.db']) {
      expect(node.database(name).rejection).toBeUndefined()
      expect(node.database(name).tracked).toBe(true)
    }
    expect(node.complaints()).toEqual(['the LTX log ended in an unfinished transaction, which was cut'])
    expect(fs.statSync(segment).size).toBeLessThan(1 << 20)
    node.close()
  },
)

test('a torn tail is searched about as fast as it is read, also where every byte may begin a record', () => {
  using temporary = temporaryDirectory()
  const dir = `${temporary.dir}/data`
  leave(dir, (segment) => fs.appendFileSync(segment, 'L'.repeat(16 << 20)))
  const startedMs = performance.now()
  const node = new InProcessNode({ dataDir: dir })
  // It took a second for each megabyte.
  expect(performance.now() - startedMs).toBeLessThan(6_000)
  expect(node.database('a.db').tracked).toBe(true)
  node.close()
})
