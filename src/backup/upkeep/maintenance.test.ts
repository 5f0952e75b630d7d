import { describe, expect, it, vi } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { loadHistory } from '../history/history.ts'
import { UNSETTLED_MS } from '../history/upload-window.ts'
import { verifyBackup } from '../history/verify.ts'
import { BackupService } from '../ship/service.ts'
import { ManualClock, PlayedDatabase, seeded, silent } from '../testing.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** The shortest interval of the schedule. */
const STEP_MS = 15_000
/** Turns of the event loop: enough for the tasks of one boundary to end before the next. */
const TURNS_A_STEP = 60

function served({ term, layout = 'directory' }: { term?: bigint; layout?: 's3' | 'directory' } = {}) {
  const clock = new ManualClock()
  const store = new MemoryStore({ now: clock.now, layout })
  const played = new PlayedDatabase('app.db', seeded(SEED))
  played.commit(3)
  const lease = term === undefined ? {} : { term, mayWriteUntilMs: () => Infinity }
  const service = new BackupService({ store, logger: silent, clock, temporaryParent: '/dev/null/nowhere', ...lease })
  service.add(
    { name: 'app.db', log: played, filePath: '/nowhere' },
    term === undefined ? {} : { takenOverAt: 0n as never },
  )
  service.start()
  const levels = async () =>
    (await loadHistory(store, 'app.db')).files.map(({ level, min, max }) => `L${level} ${min}-${max}`)
  const pass = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += STEP_MS) {
      clock.advance(STEP_MS)
      for (let turn = 0; turn < TURNS_A_STEP; turn++) await new Promise(setImmediate)
    }
  }
  return { clock, store, played, service, levels, pass }
}

describe(`maintenance (LTXD_SEED=${SEED})`, () => {
  it.each([
    ['directory', ['L0 1-3', 'L1 1-3', 'L2 1-3', 'L3 1-3', 'L9 1-3']],
    // In a bucket each object costs a request, and one file alone has nothing to be merged with.
    ['s3', ['L0 1-3', 'L9 1-3']],
  ] as const)('makes no request about a database without new uploads, in the layout %s', async (layout, expected) => {
    const { store, service, levels, pass } = served({ layout })
    await pass(90 * MINUTE)
    expect(await levels()).toEqual(expected)
    const asked = [vi.spyOn(store, 'list'), vi.spyOn(store, 'head'), vi.spyOn(store, 'get')]
    await pass(3 * HOUR)
    for (const spy of asked) expect(spy).not.toHaveBeenCalled()
    await service.stop({ drainMs: 0 })
  })

  it('says of each database that the backup cannot be listed, until it can', async () => {
    const { store, played, service, pass } = served({ layout: 's3' })
    await pass(90 * MINUTE)
    played.commit(1)
    const list = vi.spyOn(store, 'list').mockImplementation(() => {
      throw new Error('may not list')
    })
    await pass(70 * MINUTE)
    expect(service.status()[0]?.problem).toMatch(/listing fails: .*may not list/)
    list.mockRestore()
    played.commit(1)
    await pass(90 * MINUTE)
    expect(service.status()[0]?.problem).toBeUndefined()
    await service.stop({ drainMs: 0 })
  })

  it('returns to files that were too young to compact, even if nothing more is uploaded', async () => {
    const { store, service, levels, pass } = served({ term: 3n })
    await pass(UNSETTLED_MS / 2)
    expect(await levels()).toEqual(['L0 1-3'])
    await pass(UNSETTLED_MS + MINUTE)
    expect(await levels()).toContain('L1 1-3')
    await pass(90 * MINUTE)
    expect(await levels()).toEqual(expect.arrayContaining(['L0 1-3', 'L2 1-3', 'L3 1-3']))
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
    await service.stop({ drainMs: 0 })
  })

  it('goes on at the next boundary after a wall clock was an hour ahead for a moment', async () => {
    const { clock, played, service, levels, pass } = served()
    await pass(2 * MINUTE)
    clock.skewMs = HOUR
    await pass(MINUTE)
    clock.skewMs = 0
    played.commit(2)
    await pass(MINUTE)
    expect(await levels()).toContain('L1 4-5')
    await service.stop({ drainMs: 0 })
  })
})
