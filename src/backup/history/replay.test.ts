import { expect, it } from 'vitest'
import { withBoundedMemory } from '../../../test/harness/allocations.ts'
import { SEED } from '../../../test/harness/effort.ts'
import { encode } from '../../ltx/file.ts'
import { NO_CHECKSUM } from '../../ltx/format/header.ts'
import { EMPTY_CHECKSUM, toTXID } from '../../ltx/format/types.ts'
import { header, pageOf } from '../../ltx/testing.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { uploadTransactions } from '../ship/upload.ts'
import { PlayedDatabase, seeded } from '../testing.ts'
import { loadHistory } from './history.ts'
import { PageChecksums } from './replay.ts'

const ZERO = { txid: toTXID(0), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 0, commit: 0 }

it('I10: takes memory for the pages that an object brings, not for those that its header claims', async () => {
  const store = new MemoryStore()
  const commit = 0xfffffff0
  const bytes = encode(
    header({ flags: NO_CHECKSUM, preApplyChecksum: 0n, commit }),
    [1, 1000, commit].map((pgno) => [pgno, pageOf(512, pgno)] as const),
    0n,
  )
  const key = 'app.db/0000/0000000000000002-0000000000000002.ltx'
  await store.put(key, bytes)
  const txid = toTXID(2)
  const file = { level: 0, min: txid, max: txid, key, sizeBytes: bytes.length, timestampMs: 0 }
  const sums = new PageChecksums()
  await withBoundedMemory(() => sums.apply(store, [file]))
  expect(sums.checksum()).not.toBe(EMPTY_CHECKSUM)
})

it(`comes to the checksum of each transaction, also where the database shrinks and grows again (LTXD_SEED=${SEED})`, async () => {
  const store = new MemoryStore()
  const played = new PlayedDatabase('app.db', seeded(SEED))
  let state: Parameters<typeof uploadTransactions>[3] = ZERO
  const sums = new PageChecksums()
  let seen = 0
  for (let i = 0; i < 60; i++) {
    played.commit()
    state = await uploadTransactions(store, 'app.db', played, state, played.position().txid)
    const { files } = await loadHistory(store, 'app.db')
    await sums.apply(store, files.slice(seen))
    seen = files.length
    expect(sums.checksum()).toBe(played.position().checksum)
  }
})
