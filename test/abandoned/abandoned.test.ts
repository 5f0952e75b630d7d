import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { inspectLog } from '../../src/log/open.ts'
import { listLogs, logDirectory } from '../../src/log/store.ts'
import type { Position } from '../../src/ltx/format/types.ts'
import { nodeFiles } from '../../src/util/files.ts'
import { OldSqlite } from '../checkpoint/old-sqlite.ts'
import { TwoNodes } from '../cluster/two-nodes.ts'
import { checkFiles, checkLogs } from '../crash/log-check.ts'
import { form, HANG_MS } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { type How, type Library, type VictimEnd, type VictimOptions, Victims } from './victims.ts'

/**
 * Kills an application at each system call of a commit, or makes the call fail, while another process has the database
 * open. The other process must then read and write a sound database, and log, file and replica must end equal.
 */

interface Scene {
  readonly name: string
  readonly library?: Library
  readonly window: VictimOptions['window']
  readonly pragmas: readonly string[]
  readonly hows: readonly How[]
  /** Some of these ends fall between the commit frame and the wal-index, which abandons the transaction. */
  readonly abandons: boolean
}

/** A kill after one call is also a kill before the next, with the writes to shared memory in between done. */
const KILLS: readonly How[] = ['after']
const ALL: readonly How[] = ['after', 'fail', 'lie']
/** The first scene covers failed calls. The long form tries them in every WAL scene. */
const MORE = form(KILLS, ALL)
/** With so small a cache, SQLite writes pages to the WAL or the file before the COMMIT. */
const SPILL = 'cache_size = 3'

const WAL_NORMAL: Scene = {
  name: 'WAL, NORMAL',
  window: 'commit',
  pragmas: ['synchronous = NORMAL'],
  hows: ALL,
  abandons: true,
}
const DELETE_SPILLED: Scene = {
  name: 'DELETE, spilled',
  window: 'transaction',
  pragmas: [SPILL],
  hows: KILLS,
  abandons: false,
}
const SCENES: readonly Scene[] = [
  WAL_NORMAL,
  { ...WAL_NORMAL, name: 'WAL, FULL', pragmas: ['synchronous = FULL'], hows: MORE },
  {
    ...WAL_NORMAL,
    name: 'WAL, FULL, spilled',
    window: 'transaction',
    pragmas: ['synchronous = FULL', SPILL],
    hows: MORE,
  },
  // Each application is a process of its own, which takes long. Kill them only.
  {
    ...WAL_NORMAL,
    name: 'WAL, FULL, better-sqlite3',
    library: 'better-sqlite3',
    pragmas: ['synchronous = FULL'],
    hows: KILLS,
  },
  DELETE_SPILLED,
  { ...DELETE_SPILLED, name: 'TRUNCATE', pragmas: ['journal_mode = TRUNCATE', SPILL] },
  { ...DELETE_SPILLED, name: 'PERSIST', pragmas: ['journal_mode = PERSIST', SPILL] },
]

/** One cluster for the scenes of a kind: to start it takes as long as a scene. */
const KINDS = {
  'in WAL mode': SCENES.filter(isWal),
  'with a rollback journal': SCENES.filter((scene) => !isWal(scene)),
}

test.each(Object.entries(KINDS))(
  'an application that dies or fails at any call of a commit leaves all of it or nothing: %s',
  { timeout: SCENES.length * HANG_MS },
  async (_, scenes) => {
    await using nodes = await TwoNodes.start({ ttl: '30s' })
    const databases = new Map<Scene, number>()
    for (const scene of scenes) databases.set(scene, await playAll(nodes, scene))
    await nodes.same()
    const data = [nodes.replica, nodes.primary].map((member) => member.data)
    for (const member of [nodes.replica, nodes.primary]) expect((await member.node.stop()).code).toBe(0)

    for (const directory of data) expect([...checkLogs(directory), ...checkFiles(directory)]).toEqual([])
    const [replica, primary = new Map<string, Position>()] = data.map(positionsOf)
    expect(replica).toEqual(primary)
    for (const [scene, count] of databases) {
      const positions = new Map([...primary].filter(([name]) => name.startsWith(prefixOf(scene))))
      expect(positions.size, scene.name).toBe(count)
      const abandoned = countAbandoned(positions, scene)
      console.log(`${scene.name}: ${abandoned} transactions abandoned in ${count} databases`)
      if (scene.abandons) expect(abandoned, scene.name).toBeGreaterThan(0)
    }
  },
)

/** Plays a scene with an end at each call. Returns the number of its databases. */
async function playAll(nodes: TwoNodes, scene: Scene): Promise<number> {
  const notes = join(nodes.cluster.dir, `${prefixOf(scene)}notes`)
  await using stage = await Stage.set(nodes.primary.mount, notes, scene)
  const told: string[] = []
  let databases = 0
  for (const how of scene.hows) {
    const calls = await stage.playOn(how, 0)
    const ends: number[] = []
    for (let at = 1; at <= calls; at++) ends.push(await stage.playOn(how, at))
    databases += 1 + calls
    const ended = ends.filter((end) => end < 0).length
    told.push(`${how} ${calls} calls (${ended} times it did not commit)`)
    if (how === 'after') expect(ends, scene.name).toEqual(ends.map(() => KILLED))
    else expect(ended, scene.name).toBeGreaterThan(0)
  }
  await stage.close()
  console.log(`${scene.name}: ${told.join(', ')}`)
  return databases
}

function isWal({ name }: Scene): boolean {
  return name.startsWith('WAL')
}

/** Of the names of a scene's databases. */
function prefixOf({ name }: Scene): string {
  return `${name.replaceAll(/\W+/g, '-')}~`
}

function databaseOf(scene: Scene, how: How, at: number): string {
  return `${prefixOf(scene)}${how}-${at}.db`
}

test.each([WAL_NORMAL, DELETE_SPILLED])(
  'applications that die at each call of a commit, and then the node, leave all of it or nothing: $name',
  async (scene) => {
    const base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-abandoned-'))
    onTestFinished(() => rmSync(base, { recursive: true, force: true }))
    const data = join(base, 'data')
    const options = { mount: join(base, 'mount'), data, logFile: join(base, 'log') }
    let node = LtxdNode.start(options)
    onTestFinished(() => node.destroy())
    await node.mounted()
    await using stage = await Stage.set(options.mount, join(base, 'notes'), scene)

    const { calls } = await stage.play('after', 0)
    for (let at = 1; at <= calls; at++) expect((await stage.play('after', at)).outcome).toBe('killed')
    await node.kill()
    expect(checkLogs(data)).toEqual([])
    node = LtxdNode.start(options)
    await node.mounted()
    for (let at = 1; at <= calls; at++) await stage.isWhole('after', at)
    await stage.close()
    expect((await node.stop()).code).toBe(0)
    expect([...checkLogs(data), ...checkFiles(data)]).toEqual([])
  },
)

/** The rows before a victim's transaction, which changes twelve of them and adds one. */
const ROWS = 24

const KILLED = -1
const FAILED = -2

/**
 * A mount with two connections that stay for the whole scene, and one victim after the other, each with a database of
 * its own.
 */
class Stage implements AsyncDisposable {
  readonly #mount: string
  readonly #scene: Scene
  readonly #victims: Victims
  readonly #survivor: OldSqlite
  readonly #fresh: OldSqlite

  private constructor(mount: string, scene: Scene, victims: Victims) {
    this.#mount = mount
    this.#scene = scene
    this.#victims = victims
    this.#survivor = new OldSqlite(':memory:')
    this.#fresh = new OldSqlite(':memory:')
  }

  static async set(mount: string, notes: string, scene: Scene): Promise<Stage> {
    return new Stage(mount, scene, await Victims.start(notes, scene.library ?? 'system'))
  }

  /** Runs one victim to its end while the survivor's connection is open. */
  async play(how: How, at: number): Promise<VictimEnd> {
    const { window, pragmas } = this.#scene
    const database = this.#path(how, at)
    const survivor = this.#survivor
    await survivor.open(database)
    await survivor.sql(`PRAGMA journal_mode = ${isWal(this.#scene) ? 'WAL' : 'DELETE'}`)
    await survivor.sql('BEGIN')
    await survivor.sql('CREATE TABLE entry (n INTEGER PRIMARY KEY, filler BLOB)')
    await survivor.sql('CREATE TABLE tally (entries INTEGER)')
    await survivor.sql(
      `INSERT INTO entry WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < ${ROWS}) SELECT i, randomblob(500) FROM r`,
    )
    await survivor.sql(`INSERT INTO tally VALUES (${ROWS})`)
    await survivor.sql('COMMIT')
    return this.#victims.run({ database, how, at, window, pragmas })
  }

  /**
   * Plays one victim, then checks the database through the survivor and a fresh connection. Returns the number of the
   * victim's calls, or KILLED or FAILED.
   */
  async playOn(how: How, at: number): Promise<number> {
    const { outcome, calls } = await this.play(how, at)
    const about = `${how} call ${at}`
    const seen = await found(this.#survivor, about)
    if (outcome === 'committed') expect(seen, about).toBe(ROWS + 1)
    await this.#survivor.sql('INSERT INTO entry VALUES (200, randomblob(900))')
    await this.#survivor.sql('UPDATE tally SET entries = entries + 1')

    const fresh = this.#fresh
    await fresh.open(this.#path(how, at))
    expect(await fresh.value('PRAGMA integrity_check'), about).toBe('ok')
    expect(await fresh.value('SELECT count(*) FROM entry'), about).toBe(seen + 1)
    expect(await fresh.value('SELECT entries FROM tally'), about).toBe(seen + 1)
    await fresh.open(':memory:')
    if (outcome === 'killed') return KILLED
    return outcome === 'error' ? FAILED : calls
  }

  /** Checks through a fresh connection: it sees all of the transaction or nothing, and can write. */
  async isWhole(how: How, at: number): Promise<void> {
    const about = `${how} call ${at}`
    await this.#fresh.open(this.#path(how, at))
    expect(await this.#fresh.value('PRAGMA integrity_check'), about).toBe('ok')
    await found(this.#fresh, about)
    await this.#fresh.sql('INSERT INTO entry VALUES (300, randomblob(900))')
  }

  /** Closes both connections through SQLite. */
  async close(): Promise<void> {
    await this.#survivor.close()
    await this.#fresh.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#victims[Symbol.asyncDispose]()
    await this.#survivor[Symbol.asyncDispose]()
    await this.#fresh[Symbol.asyncDispose]()
  }

  #path(how: How, at: number): string {
    return join(this.#mount, databaseOf(this.#scene, how, at))
  }
}

/** The number of entries that a connection sees. Asserts that it sees all of the victim's transaction, or nothing. */
async function found(connection: OldSqlite, about: string): Promise<number> {
  const seen = await connection.value('SELECT count(*) FROM entry')
  expect([ROWS, ROWS + 1], about).toContain(seen)
  expect(await connection.value('SELECT entries FROM tally'), about).toBe(seen)
  const changed = await connection.value('SELECT count(*) FROM entry WHERE n <= 12 AND length(filler) = 700')
  expect(changed, about).toBe(seen === ROWS + 1 ? 12 : 0)
  return seen as number
}

/** The last position in the log of each database. */
function positionsOf(data: string): Map<string, Position> {
  const logs = listLogs(nodeFiles, data)
  return new Map(logs.map((name) => [name, inspectLog(nodeFiles, logDirectory(data, name)).last]))
}

/**
 * Counts the abandoned transactions. A corrective transaction undoes each, so its database has more transactions than
 * the one whose victim committed.
 */
function countAbandoned(positions: ReadonlyMap<string, Position>, scene: Scene): number {
  const plain = positions.get(databaseOf(scene, 'after', 0))?.txid ?? 0n
  return [...positions.values()].filter(({ txid }) => txid > plain).length
}
