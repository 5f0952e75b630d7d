import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import Database from 'better-sqlite3'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { compacted, Source } from '../../src/apply/testing.ts'
import { Served } from '../conformance/served.ts'
import { SEED } from '../harness/effort.ts'
import { programFile, type ProgramName } from '../harness/programs.ts'
import { Random } from '../harness/random.ts'
import { until, within } from '../harness/wait.ts'

const DEADLINE_MS = 60_000
const root = mkdtempSync(join(tmpdir(), 'ltxd-apply-'))
const helpers: Helper[] = []
afterEach(async () => {
  for (const helper of helpers.splice(0)) await helper.kill()
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** A process that answers each line with a line. */
class Helper {
  readonly #child: ChildProcess
  readonly #said: string[] = []
  readonly #exited: Promise<number | null>

  constructor(program: ProgramName, path: string) {
    this.#child = spawn(process.execPath, [programFile(program), path], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child.stdin?.on('error', () => undefined)
    if (this.#child.stdout) createInterface({ input: this.#child.stdout }).on('line', (line) => this.#said.push(line))
    this.#exited = new Promise((resolve) => this.#child.once('exit', (code) => resolve(code)))
    helpers.push(this)
  }

  /** The next line of its output; undefined once it has ended. */
  async line(): Promise<string | undefined> {
    await until(
      'an answer',
      DEADLINE_MS,
      () => this.#said.length > 0 || this.#child.exitCode !== null || this.#child.signalCode !== null,
      1,
    )
    return this.#said.shift()
  }

  async ask(line: string): Promise<string | undefined> {
    this.tell(line)
    return this.line()
  }

  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  async end(): Promise<number | null> {
    this.#child.stdin?.end()
    return within('the end of a process', DEADLINE_MS, this.#exited)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }
}

/** A history in which a counter and a sum change together, among other typical changes of applications. */
class History {
  readonly source: Source
  readonly random: Random
  readonly files: string[] = []
  /** No range that is compacted spans two page sizes. */
  readonly changesPageSize: boolean
  readonly #dir: string
  readonly #mode: string

  constructor(dir: string, random: Random, mode: string, changesPageSize = false) {
    this.changesPageSize = changesPageSize
    this.#dir = dir
    mkdirSync(dir, { recursive: true })
    this.random = random
    this.#mode = mode
    this.source = new Source(join(dir, 'source.db'))
    this.#note(`PRAGMA page_size = ${[512, 1024, 4096][random.integer(0, 2)]}; PRAGMA journal_mode = ${mode}`)
    this.#note(
      'BEGIN; CREATE TABLE t (id INTEGER PRIMARY KEY, v, pad); CREATE TABLE counter (n, expected); INSERT INTO counter VALUES (0, 0); COMMIT',
    )
  }

  step(): void {
    const { random } = this
    const rows = random.integer(1, 12)
    const settle = 'UPDATE counter SET n = n + 1, expected = (SELECT total(v) FROM t)'
    const dice = random.integer(1, 20)
    if (dice === 1) this.#note('VACUUM')
    else if (dice === 2) this.#note(`CREATE TABLE IF NOT EXISTS x${random.integer(1, 3)} (a, b)`)
    else if (this.changesPageSize && dice === 3) this.#changePageSize()
    else if (dice <= 5) this.#note(`BEGIN; DELETE FROM t WHERE id % ${random.integer(2, 5)} = 0; ${settle}; COMMIT`)
    else {
      const insert = `INSERT INTO t (v, pad) SELECT ${random.integer(1, 99)}, zeroblob(${random.integer(1, 1500)}) FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) SELECT i FROM n)`
      this.#note(`BEGIN; ${insert}; ${settle}; COMMIT`)
    }
  }

  async compactedFile(from: number, to: number): Promise<string> {
    const path = join(this.#dir, `${from}-${to}.ltx`)
    writeFileSync(path, await compacted(this.source.states.slice(from - 1, to), this.random.next() < 0.5))
    return path
  }

  /** As an application has to do it in WAL mode. */
  #changePageSize(): void {
    this.#note('PRAGMA journal_mode = DELETE')
    this.#note(`PRAGMA page_size = ${[512, 1024, 4096, 65536][this.random.integer(0, 3)]}; VACUUM`)
    this.#note(`PRAGMA journal_mode = ${this.#mode}`)
  }

  #note(sql: string): void {
    const state = this.source.commit(sql)
    if (state === undefined) return
    const path = join(this.#dir, `${state.position.txid}.ltx`)
    writeFileSync(path, state.ltx)
    this.files.push(path)
  }
}

/** Applies all files: one by one, as ranges, or several together. A blocked one is retried until it succeeds. */
async function applyAll(history: History, applier: Helper, from: number): Promise<void> {
  const { files, random } = history
  for (let at = from; at < files.length;) {
    const dice = random.next()
    const to = Math.min(files.length, at + (dice < 0.6 ? random.integer(2, 6) : 1))
    const inRange = !history.changesPageSize && dice < 0.3 && to > at + 1
    const line = inRange ? await history.compactedFile(at + 1, to) : files.slice(at, to).join(' ')
    const answer = await until('a transaction to be applied', DEADLINE_MS, async () => {
      const said = await applier.ask(line)
      return said !== 'blocked' && (said ?? 'ended')
    })
    if (inRange) expect(answer).toBe(String(to))
    const reached = Number(answer)
    expect(reached).toBeGreaterThan(at)
    expect(reached).toBeLessThanOrEqual(to)
    at = reached
  }
}

function expectSame(path: string, history: History): void {
  // Do not compare with the source's file: it lacks pages that were freed before they were written, and the history has
  // them.
  expect(readFileSync(path).equals(history.source.states.at(-1)?.image ?? Buffer.alloc(0))).toBe(true)
  const database = new Database(path, { readonly: true })
  expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
  database.close()
  history.source.close()
}

async function followedByReaders(path: string, history: History): Promise<void> {
  const applier = new Helper('apply-process', path)
  expect(await applier.line()).toBe('0')
  for (const file of history.files.slice(0, 2)) await applier.ask(file)
  const readers = [new Helper('apply-reader', path), new Helper('apply-reader', path)]
  for (const reader of readers) expect(await reader.line()).toMatch(/^\d+$/)
  await applyAll(history, applier, 2)
  const { n } = history.source.database.prepare('SELECT n FROM counter').get() as { n: number }
  for (const reader of readers) {
    expect(await reader.ask('state')).toBe(String(n))
    expect(await reader.ask('write')).toBe('SQLITE_BUSY')
    expect(await reader.ask('check')).toBe('ok')
    expect(await reader.end()).toBe(0)
  }
  expect(await applier.end()).toBe(0)
  expectSame(path, history)
}

describe.each([
  ['wal', 'one page size'],
  ['delete', 'one page size'],
  ['wal', 'changing page sizes'],
  ['delete', 'changing page sizes'],
])(`in %s mode with %s, seed ${SEED}`, (mode, sizes) => {
  const changes = sizes !== 'one page size'

  test('readers in other processes see complete states in order, and no writer succeeds', async () => {
    const history = new History(join(root, `readers-${mode}-${String(changes)}`), new Random(SEED), mode, changes)
    for (let i = 0; i < 120; i++) history.step()
    await followedByReaders(join(root, `readers-${mode}-${String(changes)}.db`), history)
  })

  test('after a kill at any moment, applying continues from the state of the file', async () => {
    const history = new History(join(root, `killed-${mode}-${String(changes)}`), new Random(SEED + 1), mode, changes)
    for (let i = 0; i < 100; i++) history.step()
    const path = join(root, `killed-${mode}-${String(changes)}.db`)
    const { random, files } = history
    let reader: Helper | undefined
    let reached = 0
    for (let kills = 0; kills < 8; kills++) {
      const applier = new Helper('apply-process', path)
      const at = Number(await applier.line())
      expect(at).toBeGreaterThanOrEqual(reached)
      const together = kills % 2 === 0 ? 1 : 4
      const lines: string[] = []
      for (let i = at; i < files.length; i += together) lines.push(files.slice(i, i + together).join(' '))
      for (const line of lines) applier.tell(line)
      const stopAfter = Math.min(lines.length, random.integer(0, 12))
      for (let i = 0; i < stopAfter; i++) {
        const said = await applier.line()
        if (said === undefined || said === 'blocked') break
        reached = Math.max(reached, Number(said))
      }
      await applier.kill()
      if (reached < 3) continue
      reader ??= new Helper('apply-reader', path)
      expect(await reader.ask('state')).toMatch(/^\d+$/)
    }
    const last = new Helper('apply-process', path)
    await applyAll(history, last, Number(await last.line()))
    if (reader !== undefined) expect(await reader.end()).toBe(0)
    expect(await last.end()).toBe(0)
    expectSame(path, history)
  })
})

test('a long reader keeps its snapshot, and the WAL is reset once the reader has ended', async () => {
  const history = new History(join(root, 'long'), new Random(SEED + 2), 'wal')
  for (let i = 0; i < 60; i++) history.step()
  const path = join(root, 'long.db')
  const applier = new Helper('apply-process', path)
  await applier.line()
  for (const file of history.files.slice(0, 20)) await applier.ask(file)
  const reader = new Helper('apply-reader', path)
  await reader.line()
  const held = await reader.ask('hold')
  for (const file of history.files.slice(20)) await applier.ask(file)
  expect(await applier.ask('checkpoint')).toBe('held')
  expect(await reader.ask('state')).toBe(held)
  expect(await reader.ask('release')).toBe('released')
  expect(await applier.ask('checkpoint')).toBe('done')
  const { n } = history.source.database.prepare('SELECT n FROM counter').get() as { n: number }
  expect(await reader.ask('state')).toBe(String(n))
  expect(await reader.end()).toBe(0)
  expect(await applier.end()).toBe(0)
  expectSame(path, history)
})

test('readers on a FUSE mount see the applied states: mappings of -shm and plain writes are coherent', async () => {
  const served = await Served.start()
  try {
    const history = new History(join(root, 'mounted'), new Random(SEED + 3), 'wal')
    for (let i = 0; i < 60; i++) history.step()
    const applier = new Helper('apply-process', join(served.mount, 'a.db'))
    expect(await applier.line()).toBe('0')
    for (const file of history.files.slice(0, 2)) await applier.ask(file)
    const reader = new Helper('apply-reader', join(served.mount, 'a.db'))
    await reader.line()
    await applyAll(history, applier, 2)
    const { n } = history.source.database.prepare('SELECT n FROM counter').get() as { n: number }
    expect(await reader.ask('state')).toBe(String(n))
    expect(await reader.end()).toBe(0)
    expect(await applier.end()).toBe(0)
    expectSame(join(served.backing, 'a.db'), history)
  } finally {
    await served.end()
  }
})
