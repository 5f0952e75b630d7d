/** A mount of this process's, by its numbers and its place: it is unmounted there, and nothing else is. */

import fs from 'node:fs'
import { O_PATH } from '../../util/named-directory.ts'
import type { Device } from '../device.ts'
import { MountError } from './mount-error.ts'
import { type MountPlace, placeOf } from './mount-place.ts'
import { MOUNT_TYPE } from './mount-point.ts'
import { type MountEntry, readMounts } from './mountinfo.ts'

const { O_DIRECTORY, O_NOFOLLOW } = fs.constants

/** Older kernels may omit a line of mountinfo while other file systems are mounted or unmounted. */
const READS = 5

export class OwnMount {
  readonly entry: MountEntry
  readonly place: MountPlace

  constructor(entry: MountEntry, place: MountPlace) {
    this.entry = entry
    this.place = place
  }

  /** The mount that this process has just made at a directory, an O_PATH descriptor. Throws MountError. */
  static at(directory: number, fsname: string): OwnMount {
    const place = placeOf(directory)
    const entry = firstFound(() => {
      const top = place.mounted
      return top?.type === MOUNT_TYPE && top.source === fsname ? top : undefined
    })
    if (entry !== undefined) return new OwnMount(entry, place)
    const { path } = place
    place.close()
    throw new MountError('MOUNT_FAILED', `nothing is mounted at ${path}: a directory above it was exchanged meanwhile`)
  }

  /** Whether the mount still has a place. It may have moved, with a directory above it. */
  isThere(): boolean {
    return firstFound(() => readMounts().find((mount) => isSame(mount, this.entry))) !== undefined
  }

  /** What somebody else has mounted over it. */
  get covering(): MountEntry | undefined {
    let top: MountEntry | undefined
    // The place may be renamed between the two readings that are compared.
    const own = firstFound(() => ((top = this.place.mounted) && isSame(top, this.entry) ? top : undefined))
    return own === undefined ? top : undefined
  }
}

/**
 * An O_PATH descriptor of a mount's root, through which nothing but this mount can be unmounted. undefined: the mount
 * is not at its mount point any more, or another is mounted over it. Asks no file system that is mounted there.
 */
export function openMount(mount: MountEntry): number | undefined {
  const root = openRoot(mount.mountPoint)
  if (root === undefined) return undefined
  const id = /^mnt_id:\s*(\d+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${root}`, 'utf8'))?.[1]
  // Its number is not used again while the descriptor is open.
  if (id === mount.id && firstFound(() => readMounts().find((each) => isSame(each, mount))) !== undefined) return root
  fs.closeSync(root)
  return undefined
}

function openRoot(mountPoint: string): number | undefined {
  try {
    return fs.openSync(mountPoint, O_PATH | O_DIRECTORY | O_NOFOLLOW)
  } catch {
    return undefined
  }
}

function isSame(one: MountEntry, other: MountEntry): boolean {
  return one.id === other.id && one.device === other.device
}

function firstFound(find: () => MountEntry | undefined): MountEntry | undefined {
  for (let i = 0; i < READS; i++) {
    const found = find()
    if (found !== undefined) return found
  }
  return undefined
}

export interface MountedDevice extends Device {
  /** Absent in tests that mount nothing. */
  readonly at?: OwnMount | undefined
}

export interface Mounted extends MountedDevice {
  readonly at: OwnMount
  /** Where another process serves it: how that ended, if not as it should. */
  readonly end?: string | undefined
  /** Ends the mount's life, if it still has one. */
  close(): Promise<void>
}

/** A mount whose device this process has open. */
export function mountedAs(device: number, at: OwnMount): Mounted {
  return {
    device,
    at,
    close() {
      fs.closeSync(device)
      at.place.close()
      return Promise.resolve()
    },
  }
}
