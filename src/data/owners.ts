import type { FilesBeneath } from '../util/files-beneath.ts'
import type { Logger } from '../util/log.ts'
import { type Owner, sameOwner } from '../util/owner.ts'
import { type DatabaseOwner, type OwnerWish, readFileOwner, readFolders } from './database-owner.ts'

export interface OwnersOptions {
  readonly files: FilesBeneath
  /** The directory that the mount shows. */
  readonly root: string
  /** `fuse.uid`, `fuse.gid`, `fuse.mode`: of databases that appear on this node otherwise than by an application. */
  readonly override: Partial<Owner>
  readonly logger: Logger
}

/** Who reads what may also look for it. */
const READ = 0o444

/** The owners of a node's databases: what travels with them, and what is given to those that come from elsewhere. */
export class Owners {
  readonly #options: OwnersOptions
  readonly #folderOverride: Partial<Owner>
  /** What came with databases to which this node could not give it. */
  readonly #notGiven = new Map<string, DatabaseOwner | undefined>()
  readonly #received = new Map<string, DatabaseOwner>()
  /** What came with databases and was given to them, or could not be. */
  readonly #done = new Map<string, Owner>()
  readonly #said = new Set<string>()

  constructor(options: OwnersOptions) {
    this.#options = options
    const { mode, ...ids } = options.override
    this.#folderOverride = mode === undefined ? ids : { ...ids, mode: mode | ((mode & READ) >> 2) }
  }

  get hasOverride(): boolean {
    return Object.keys(this.#options.override).length > 0
  }

  /** The owner that travels with a database; undefined where there is no such file. */
  file(name: string): Owner | undefined {
    const { files, root } = this.#options
    return this.#notGiven.get(name)?.file ?? readFileOwner(files, `${root}/${name}`)
  }

  folders(name: string): Owner[] {
    const { files, root } = this.#options
    return this.#notGiven.get(name)?.folders ?? readFolders(files, root, name)
  }

  of(name: string): DatabaseOwner | undefined {
    const file = this.file(name)
    return file && { file, folders: this.folders(name) }
  }

  /** Whether the database was not given this owner yet. */
  isNews(name: string, { file }: DatabaseOwner): boolean {
    const done = this.#done.get(name)
    return done === undefined || !sameOwner(done, file)
  }

  given(name: string): void {
    const received = this.#received.get(name)
    if (received !== undefined) this.#done.set(name, received.file)
  }

  /** What a database gets that comes from elsewhere with this owner, or with none. */
  wish(name: string, recorded?: DatabaseOwner): OwnerWish {
    if (recorded !== undefined) this.#received.set(name, recorded)
    const { override } = this.#options
    const depth = name.split('/').length
    return {
      file: { ...recorded?.file, ...override },
      folders: Array.from({ length: depth }, (_, i) => ({ ...recorded?.folders[i], ...this.#folderOverride })),
    }
  }

  /** The database is served as it is. What came with it travels on. */
  notGiven(name: string, reason: string): void {
    this.given(name)
    this.#notGiven.set(name, this.#received.get(name))
    if (this.#said.has(name)) return
    this.#said.add(name)
    this.#options.logger.warn({ database: name, reason }, 'the database keeps the owner and mode that it has here')
  }

  /** An application has changed the owner or the mode of a database. */
  changed(name: string): void {
    this.#notGiven.delete(name)
  }
}
