import type { Chance } from '../fuzz/chance.ts'
import { close, type Connection, type Draft, first, open, say, sql } from './draft.ts'

/** Random names, and what tools do with the files of databases. */

const ODD_NAMES = [
  'x-wal',
  'my-journal',
  'y-shm',
  'z-pos',
  'm-mjA0B1C2912',
  'no-suffix',
  '.hidden',
  'with space.db',
  "quote'd.db",
  'per%20cent%.db',
  'grüße-日本.db',
  'tab\there.db',
  'line\nbreak.db',
  'back\\slash.db',
  '日'.repeat(27),
  'n'.repeat(200),
  'not-utf8-\udcff.db',
  '.ltxd-x.db',
  'a.ltx',
] as const

export function nameOfDatabase(chance: Chance): string {
  return chance.oneIn(25) ? chance.pick(ODD_NAMES) : 'a.db'
}

/** What happens to the files beside, or instead of, SQL. */
export function fileOperation(draft: Draft, connection: Connection): void {
  const { chance, names } = draft
  const [name] = names
  const whole = chance.oneIn(3) ? draft.connections : []
  // Some tools are used while nobody has the database open, and some are not.
  if (chance.oneIn(2)) for (const it of draft.connections) close(draft, it)
  for (const it of whole) close(draft, it)
  const act = chance.pick([remove, remove, copyOver, copyOver, swap, raw, link])
  act(draft, connection, name)
}

/** `rm app.db*`, then anew. */
function remove(draft: Draft, connection: Connection, name: string): void {
  for (const suffix of draft.chance.pick([['-journal', '-wal', '-shm', ''], ['', '-wal', '-shm', '-journal'], ['']]))
    say(draft, connection, 'rm', `${name}${suffix}`)
  again(draft, name)
}

/** Another database takes this one's place. */
function copyOver(draft: Draft, connection: Connection, name: string): void {
  const { chance } = draft
  const spare = { ...connection, slot: '6' }
  say(draft, spare, 'open', '6', 'c.db', 'rw')
  sql(draft, spare, `PRAGMA page_size = ${chance.pick([512, 1024, 4096])}`)
  sql(draft, spare, `PRAGMA journal_mode = ${chance.pick(['DELETE', 'WAL'])}`)
  sql(draft, spare, 'CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, k INTEGER, v)')
  sql(draft, spare, `INSERT INTO t (k, v) VALUES (7, noise(${chance.integer(1, 99)}, ${chance.integer(1, 9000)}))`)
  say(draft, spare, 'close', '6')
  say(draft, spare, chance.pick(['cp', 'cp', 'replace', 'replace', 'mv', 'cp-inplace']), 'c.db', name)
  again(draft, name)
}

/** Renamed away, or to another name and back. */
function swap(draft: Draft, connection: Connection, name: string): void {
  say(draft, connection, 'mv', name, 'moved.db')
  if (draft.chance.oneIn(2)) say(draft, connection, 'mv', 'moved.db', name)
  again(draft, name)
}

/** Bytes are written over, or cut off. */
function raw(draft: Draft, connection: Connection, name: string): void {
  const { chance } = draft
  if (chance.oneIn(3)) say(draft, connection, 'truncate', name, chance.pick(['0', '1024', '5000']))
  else say(draft, connection, 'put', name, String(chance.integer(0, 20_000)), '100', String(chance.integer(1, 99)))
}

function link(draft: Draft, connection: Connection, name: string): void {
  say(draft, connection, 'ln', name, 'linked.db')
}

function again(draft: Draft, name: string): void {
  const connection = first(draft)
  if (!connection.isOpen) open(draft, connection, name)
  sql(draft, connection, 'CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, k INTEGER, v)')
}
