import fs from 'node:fs'

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants

/** The directory whose files the mount shows. Paths are relative to it; '' is the directory itself. */
export class BackingDirectory {
  readonly #root: string

  /** `root` is the absolute path of an existing directory. */
  constructor(root: string) {
    this.#root = root
  }

  absolute(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`
  }

  /** Does not follow a symbolic link. Undefined when `path` does not exist. */
  attributes(path: string): fs.Stats | undefined {
    return fs.lstatSync(this.absolute(path), { throwIfNoEntry: false })
  }

  names(path: string): string[] {
    return fs.readdirSync(this.absolute(path))
  }

  /** fsync of a directory. */
  sync(path: string): void {
    const fd = fs.openSync(this.absolute(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    try {
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  }

  statistics(): fs.StatsFs {
    return fs.statfsSync(this.#root)
  }
}
