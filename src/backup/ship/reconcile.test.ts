import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { type Checksum, toTXID } from '../../ltx/format/types.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import { loadHistory } from '../history/history.ts'
import { backupPosition } from '../history/position.ts'
import { PlayedDatabase, seeded, temporaryDirectories } from '../testing.ts'
import { listBackup } from './boot.ts'
import { reconcile, reconcileWithBackup, type Relation } from './reconcile.ts'
import { uploadTransactions } from './upload.ts'

const directory = temporaryDirectories()
const A = 0x8000_0000_0000_000an as Checksum
const B = 0x8000_0000_0000_000bn as Checksum

describe('local log and backup', () => {
  it.each<[string, number, number, Checksum | undefined, Checksum | undefined, Checksum | undefined, Relation]>([
    // name, local TXID, backup TXID, backup's checksum, local checksum there, backup's checksum at the local position
    ['both empty', 0, 0, undefined, undefined, undefined, 'equal'],
    ['an empty backup', 5, 0, undefined, undefined, undefined, 'backup-behind'],
    ['no local database', 0, 5, A, undefined, undefined, 'backup-ahead'],
    ['the same position', 5, 5, A, A, undefined, 'equal'],
    ['the same number, another checksum', 5, 5, B, A, undefined, 'diverged'],
    ['the same number, a backup without checksums', 5, 5, undefined, A, undefined, 'unknown'],
    ['an older backup', 9, 5, B, B, undefined, 'backup-behind'],
    ['an older backup of another history', 9, 5, B, A, undefined, 'diverged'],
    ['an older backup than the log reaches', 9, 5, B, undefined, undefined, 'gap'],
    ['an older backup without checksums', 9, 5, undefined, B, undefined, 'unknown'],
    ['a newer backup', 5, 9, B, undefined, A, 'backup-ahead'],
    ['a newer backup of another history', 5, 9, B, undefined, B, 'diverged'],
    ['a newer backup without an end there', 5, 9, B, undefined, undefined, 'unknown'],
  ])('with %s', (_, local, backup, checksum, localAtBackup, backupAtLocal, relation) => {
    const position = {
      txid: toTXID(backup),
      checksum,
      timestampMs: 0,
      pageSize: 512,
      commit: 1,
      term: 0n,
      state: 'live',
    } as const
    const input = { local: { txid: toTXID(local), checksum: A }, backup: position, localAtBackup, backupAtLocal }
    expect(reconcile(input).relation).toBe(relation)
  })

  it('are compared by the checksums that log and metadata record', async () => {
    const store = new DirectoryStore(join(await directory(), 'backup'))
    const played = new PlayedDatabase('app.db', seeded(SEED))
    const other = new PlayedDatabase('app.db', seeded(SEED + 1))
    played.commit(6)
    other.commit(8)
    const zero = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
    await uploadTransactions(store, 'app.db', played, zero, toTXID(6))
    const history = await loadHistory(store, 'app.db')
    const backup = await backupPosition(store, history)
    const relation = async (log: PlayedDatabase) => (await reconcileWithBackup(log, store, history, backup)).relation
    expect(await relation(played)).toBe('equal')
    expect(await relation(other)).toBe('diverged')
    played.commit(2)
    expect(await relation(played)).toBe('backup-behind')
    played.cutLog(toTXID(7))
    expect(await relation(played)).toBe('backup-behind')
    played.cutLog(toTXID(8))
    expect(await relation(played)).toBe('gap')
    expect(await listBackup(store)).toMatchObject([{ name: 'app.db', position: { txid: 6n, state: 'live' } }])
  })
})
