import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Authority } from '../../../src/capture/authority.ts'
import { SOLE } from '../../../src/capture/authority.ts'
import type { Database } from '../../../src/capture/database.ts'
import type { DatabaseFilter } from '../../../src/capture/database-filter.ts'
import { ANY_DATABASE } from '../../../src/capture/database-filter.ts'
import type { CaptureEvents, LogFields, LogLevel, Sharing } from '../../../src/capture/events.ts'
import { isDatabaseName } from '../../../src/capture/find-databases.ts'
import { finishRename } from '../../../src/capture/rename-over.ts'
import { discardReplacements } from '../../../src/capture/replacement.ts'
import { CaptureVolume } from '../../../src/capture/volume.ts'
import { Logs } from '../../../src/log/logs.ts'
import { finishReplacements } from '../../../src/log/replace.ts'
import { listLogs, logDirectory, writeSynced } from '../../../src/log/store.ts'
import type { Position } from '../../../src/ltx/format/types.ts'
import { recoverDatabase } from '../../../src/recovery/recover.ts'
import type { Files } from '../../../src/util/files.ts'
import { nodeFiles } from '../../../src/util/files.ts'
import { CaptureMount } from './capture-mount.ts'

export interface LoggedLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: LogFields
}

export interface InProcessOptions {
  readonly dataDir: string
  readonly files?: Files
  readonly segmentSizeBytes?: number
  /** The node's authority once it has recovered; a node without a cluster by default. */
  readonly authority?: Authority
  /** RecoveryOptions.wholeReadBytes. */
  readonly wholeReadBytes?: number
  /** Chooses which files are databases; all by default. */
  readonly filter?: DatabaseFilter
}

/** A data plane without FUSE or a thread of its own: recovery, then a volume behind `mount`. */
export class InProcessNode {
  readonly dataDir: string
  readonly root: string
  readonly files: Files
  readonly lines: LoggedLine[] = []
  readonly recovered = new Map<string, Database>()
  readonly mount: CaptureMount
  /** All published positions, in order. */
  readonly published: {
    readonly name: string
    readonly position: Position
    readonly backfilled: Position | undefined
  }[] = []
  /** The changes in who has a database open. */
  readonly sharing: { readonly name: string; readonly sharing: Sharing }[] = []
  /** Databases in which a violation of I11 was noticed. */
  readonly guarded: string[] = []
  /** Databases of which a WAL was written, and nothing captured for a second. */
  readonly unexplained: string[] = []
  /** Files of which bytes were changed that a kernel may have cached. */
  readonly mended: string[] = []
  /** Databases that are not replicated. */
  readonly unreplicated = new Set<string>()
  /** Databases of which only the position of their drop remains. */
  readonly released: string[] = []
  onReleased: (name: string) => void = () => {}
  /** Files that were written and are no databases, once for each time. */
  readonly plainFiles: string[] = []
  readonly volume: CaptureVolume
  /** Whether there is room for a new database. */
  admits: (name: string) => boolean = () => true
  readonly #later: (() => void)[] = []
  #clockMs = 1_700_000_000_000

  constructor(options: InProcessOptions) {
    const { dataDir, files = nodeFiles, segmentSizeBytes = 1 << 20, authority = SOLE, wholeReadBytes } = options
    const { filter = ANY_DATABASE } = options
    this.dataDir = dataDir
    this.root = `${dataDir}/files`
    this.files = files
    fs.mkdirSync(this.root, { recursive: true })
    fs.mkdirSync(`${dataDir}/log`, { recursive: true })
    finishReplacements(files, `${dataDir}/log`, (problem) => {
      throw new Error(problem)
    })
    const { root, lines, published } = this
    const events: CaptureEvents = {
      sharing: ({ name }, sharing) => void this.sharing.push({ name, sharing }),
      admits: (name) => this.admits(name),
      released: (name) => {
        this.released.push(name)
        this.onReleased(name)
      },
      guarded: ({ name }) => void this.guarded.push(name),
      mended: (path) => void this.mended.push(path),
      published: ({ name, position, backfilled }) => published.push({ name, position, backfilled }),
      resized: () => undefined,
      unexplained: ({ name }) => void this.unexplained.push(name),
      unreplicated: (name, is) => void (is ? this.unreplicated.add(name) : this.unreplicated.delete(name)),
      plainFile: (name) => void this.plainFiles.push(name),
      later: (act) => void this.#later.push(act),
      log: (level, message, fields) => lines.push({ level, message, fields }),
    }
    const nowMs = () => this.#clockMs++
    discardReplacements(files, dataDir, events)
    finishRename(files, root, events)
    const nodeId = 1n
    for (const name of databaseNames(dataDir, files, filter)) {
      const database = recoverDatabase({
        name,
        dataDir,
        root,
        files,
        events,
        nowMs,
        nodeId,
        segmentSizeBytes,
        authority,
        ...(wholeReadBytes !== undefined && { wholeReadBytes }),
      })
      if (database === undefined) continue
      filter.rejectExcluded(database, dataDir)
      this.recovered.set(name, database)
    }
    this.volume = new CaptureVolume({
      root,
      files,
      events,
      nowMs,
      nodeId,
      logs: new Logs(files, dataDir, { segmentSizeBytes }),
      authority,
      filter,
      databases: this.recovered.values(),
      unreplicated: this.unreplicated,
    })
    this.mount = new CaptureMount(root, this.volume, files)
  }

  database(name: string): Database {
    for (const database of this.volume.list()) if (database.name === name) return database
    throw new Error(`there is no database ${name}`)
  }

  position(name: string): Position {
    return this.database(name).position
  }

  /** Syncs the file as the background maintenance does, so that recovery replays less. */
  maintain(name: string): void {
    const { files, root } = this
    const database = this.database(name)
    const { backfilled } = database
    if (backfilled === undefined || !database.tracked) return
    database.syncLog()
    for (const suffix of ['', '-wal', '-journal']) {
      const file = `${root}/${name}${suffix}`
      if (!files.exists(file)) continue
      const fd = files.open(file, fs.constants.O_RDONLY)
      files.sync(fd)
      files.close(fd)
    }
    files.syncDirectory(root)
    writeSynced(files, logDirectory(this.dataDir, name), backfilled)
  }

  /** A second passes. */
  passTime(): void {
    for (const act of this.#later.splice(0)) act()
  }

  /** Lines at `warn` or worse. */
  complaints(): string[] {
    return this.lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ message }) => message)
  }

  /** A clean stop. */
  leave(): void {
    for (const database of this.volume.list()) database.trust.stopCleanly()
    this.close()
  }

  close(): void {
    for (const database of this.volume.list()) database.close()
  }
}

function databaseNames(dataDir: string, files: Files, filter: DatabaseFilter): Set<string> {
  const names = new Set(listLogs(files, dataDir))
  for (const entry of fs.readdirSync(`${dataDir}/files`, { withFileTypes: true })) {
    if (entry.isFile() && isDatabaseName(entry.name, filter)) names.add(entry.name)
  }
  return names
}

/** A directory that is removed when the test ends. */
export function temporaryDirectory(): { dir: string } & Disposable {
  const base = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir()
  const dir = fs.mkdtempSync(path.join(base, 'ltxd-test-'))
  return { dir, [Symbol.dispose]: () => fs.rmSync(dir, { recursive: true, force: true }) }
}
