/**
 * A bucket to which a deposed leader and the next one write at once. Litestream 0.5.18 reads the result.
 */

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { loadHistory } from '../../src/backup/history/history.ts'
import { restorablePoints } from '../../src/backup/history/plan.ts'
import { UNSETTLED_MS } from '../../src/backup/history/upload-window.ts'
import { verifyBackup } from '../../src/backup/history/verify.ts'
import { ObjectRecord, TurnStore } from '../../src/backup/racing.ts'
import { restoreDatabase } from '../../src/backup/restore/restore.ts'
import { BackupService } from '../../src/backup/ship/service.ts'
import { PlayedDatabase, seeded, silent } from '../../src/backup/testing.ts'
import { compactLevel, snapshotFromBackup } from '../../src/backup/upkeep/compaction.ts'
import { formatTXID, toTXID, type TXID } from '../../src/ltx/format/types.ts'
import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import { S3Store } from '../../src/objectstore/s3/store.ts'
import { parseS3Url } from '../../src/objectstore/s3/url.ts'
import { SEED } from '../harness/effort.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'

const run = promisify(execFile)
const LITESTREAM = process.env.LITESTREAM_BIN ?? findTool('litestream')

const missing = [...(findS3Server('versitygw') ? [] : ['versitygw']), ...(LITESTREAM ? [] : ['litestream'])]
if (missing.length > 0 && process.env.CI === 'true') throw new Error(`not installed: ${missing.join(', ')}`)

describe.skipIf(missing.length > 0)(`two leaders on one bucket (LTXD_SEED=${SEED})`, () => {
  let root = ''
  let server: S3Server
  const before = { ...process.env }

  beforeAll(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-leaders-')))
    server = await S3Server.start('versitygw')
    Object.assign(process.env, server.environment)
  })
  afterAll(async () => {
    await server?.stop()
    process.env = before
    await rm(root, { recursive: true, force: true })
  })

  /** Makes the uploads of a node that leads in a term, one at a time, on request. */
  function leader(store: ObjectStore, term: bigint, log: PlayedDatabase, takenOverAt: TXID): () => Promise<void> {
    const service = new BackupService({ store, logger: silent, temporaryParent: root, term, upkeep: false })
    service.add({ name: log.database, log, filePath: '/nowhere' }, { takenOverAt })
    return () => service.sync(log.database)
  }

  async function litestream(...args: string[]): Promise<void> {
    const { AWS_CA_BUNDLE: _, ...env } = process.env
    await run(LITESTREAM!, args, { env, timeout: 60_000 })
  }

  /** Restores by Litestream and by ltxd, at every file boundary. */
  async function expectRestores(url: string, store: ObjectStore, log: PlayedDatabase): Promise<void> {
    const out = await mkdtemp(join(root, 'out-'))
    const address = url.replace('?', '/app.db?')
    const points = restorablePoints(await loadHistory(store, 'app.db'))
    expect(points.at(-1)).toBe(log.position().txid)
    for (const txid of points) {
      const [theirs, ours] = [join(out, `theirs-${txid}.db`), join(out, `ours-${txid}.db`)]
      await litestream('restore', '-txid', formatTXID(txid), '-o', theirs, address)
      await restoreDatabase(store, 'app.db', { kind: 'txid', txid }, ours)
      expect((await readFile(theirs)).equals(log.states.get(txid)!), `transaction ${txid}`).toBe(true)
      expect((await readFile(ours)).equals(log.states.get(txid)!), `transaction ${txid}`).toBe(true)
    }
    await litestream('restore', '-o', join(out, 'newest.db'), address)
    expect((await readFile(join(out, 'newest.db'))).equals(log.image())).toBe(true)
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  }

  const commits = fc.integer({ min: 1, max: 3 })

  it('has the history of the later leader, at every file boundary', async () => {
    const schedules = fc.tuple(fc.scheduler(), commits, commits, commits)
    await fc.assert(
      fc.asyncProperty(schedules, async ([scheduler, shared, first, second]) => {
        const url = await server.freshUrl()
        const store = new S3Store(parseS3Url(new URL(url), url))
        const record = new ObjectRecord()
        const taking = (who: string) =>
          new TurnStore(store, record, (what) => scheduler.schedule(Promise.resolve(), `${who}: ${what}`))
        const base = new PlayedDatabase('app.db', seeded(SEED), 4096)
        base.commit(shared)
        const takenOverAt = base.position().txid
        const direct = new TurnStore(store, record, () => Promise.resolve())
        await leader(direct, 2n, base, toTXID(0))()

        const [firstLog, secondLog] = [
          base.fork(takenOverAt, seeded(SEED + 1)),
          base.fork(takenOverAt, seeded(SEED + 2)),
        ]
        const firstSync = leader(taking('first'), 3n, firstLog, takenOverAt)
        const syncSecond = leader(taking('second'), 4n, secondLog, takenOverAt)
        const leading = async (sync: () => Promise<void>, log: PlayedDatabase, count: number) => {
          for (let round = 0; round < 2; round++) {
            log.commit(count)
            await sync()
          }
        }
        await scheduler.waitFor(
          Promise.allSettled([leading(firstSync, firstLog, first), leading(syncSecond, secondLog, second)]),
        )
        secondLog.commit()
        // A late arrival may have made it reject its listing; then it lists again.
        await scheduler.waitFor(syncSecond().catch(() => syncSecond()))
        expect(await record.vanished(store)).toEqual([])
        await expectRestores(url, store, secondLog)
        const nowMs = Date.now() + 2 * UNSETTLED_MS
        await compactLevel(store, 'app.db', 1, { nowMs })
        await snapshotFromBackup(store, 'app.db', { nowMs })
        await expectRestores(url, store, secondLog)
        await store.close()
      }),
      { numRuns: 4, seed: SEED },
    )
  }, 180_000)

  it('gets no object from a leader that is stopped while it uploads parts', async () => {
    const url = await server.freshUrl()
    // S3 would reject parts this small at completion, which is never reached.
    const small = new S3Store(parseS3Url(new URL(url), url), { partBytes: 256 << 10 })
    const store = new S3Store(parseS3Url(new URL(url), url))
    const log = new PlayedDatabase('app.db', seeded(SEED), 32768)
    // At least a megabyte, in one object.
    while (log.position().txid < 260n) log.commit()
    let deadlineMs = Infinity
    const service = new BackupService({
      ...{ store: cutShort(small), logger: silent, temporaryParent: root, upkeep: false },
      term: 3n,
      mayWriteUntilMs: () => deadlineMs,
    })
    service.add({ name: 'app.db', log, filePath: '/nowhere' }, { takenOverAt: toTXID(0) })
    await expect(service.sync('app.db')).rejects.toThrow(/lease of term 3/)
    expect(await service.stop({ drainMs: 1000 })).toBe(false)
    const keys = []
    for await (const { key } of store.list('')) keys.push(key)
    expect(keys).toEqual([])

    deadlineMs = Infinity
    await leader(store, 4n, log, toTXID(0))()
    await until('all of it', 60_000, async () => (await loadHistory(store, 'app.db')).files.length === 2)
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
    await small.close()
    await store.close()

    /** The deadline passes while the third part is being read. */
    function cutShort(inner: S3Store): ObjectStore {
      const put: ObjectStore['put'] = (key, body, options) => {
        async function* interrupted() {
          let sent = 0
          for await (const chunk of body as AsyncIterable<Uint8Array>) {
            yield chunk
            sent += chunk.length
            if (sent > 600 << 10) deadlineMs = 0
          }
        }
        return inner.put(key, interrupted(), options)
      }
      return Object.assign(Object.create(inner) as ObjectStore, {
        url: inner.url,
        layout: inner.layout,
        put,
        head: (key: string) => inner.head(key),
        list: (prefix: string, startAfter?: string) => inner.list(prefix, startAfter),
      })
    }
  }, 120_000)
})
