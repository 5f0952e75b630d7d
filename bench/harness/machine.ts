import { statfsSync } from 'node:fs'
import { cpus, release } from 'node:os'
import Database from 'better-sqlite3'

/** The properties of the machine that the figures depend on, printed and saved with them. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly kernel: string
  readonly node: string
  readonly sqlite: string
  readonly fileSystem: string
}

/** Magic numbers of statfs(2). */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x2fc12fc1: 'zfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlayfs',
}

/** `directory` has the files of both sides. */
export function describeMachine(directory: string): Machine {
  const cores = cpus()
  const { type } = statfsSync(directory)
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    kernel: release(),
    node: process.versions.node,
    sqlite: sqliteVersion(),
    fileSystem: FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`,
  }
}

function sqliteVersion(): string {
  const db = new Database(':memory:')
  try {
    return db.prepare<[], string>('SELECT sqlite_version()').pluck().get() ?? 'unknown'
  } finally {
    db.close()
  }
}
